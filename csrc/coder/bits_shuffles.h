// What the bits kernels look up by the number of bits b, made when compiling.
#pragma once
#include <cstdint>

namespace mithril {

struct BitsShuffles {
  // Eight symbols were made an integer of 8b bits in eight bytes: the place of each packed byte among these.
  alignas(64) uint8_t pack[8][64] = {};
  // By symbol: in eight bytes the packed ones of its eight symbols, and by how many bits it is away from the first.
  alignas(64) uint8_t eight[8][64] = {}, shift[8][64] = {};
  // By symbol: the two bytes that have it, and the factor that brings it to the top of the word that they make.
  alignas(64) uint8_t word[8][32] = {};
  alignas(64) uint16_t factor[8][16] = {};

  constexpr BitsShuffles() {
    for (unsigned b = 1; b < 8; b++) {
      for (unsigned i = 0; i < 64; i++) {
        pack[b][i] = static_cast<uint8_t>(i / b * 8 % 64 + i % b);
        eight[b][i] = static_cast<uint8_t>((i / 8 * b + i % 8) % 64);
        shift[b][i] = static_cast<uint8_t>(i % 8 * b);
      }
      for (unsigned i = 0; i < 16; i++) {
        word[b][2 * i] = static_cast<uint8_t>(i * b / 8), word[b][2 * i + 1] = static_cast<uint8_t>(i * b / 8 + 1);
        factor[b][i] = static_cast<uint16_t>(1 << (16 - b - i * b % 8));
      }
    }
  }
};
inline constexpr BitsShuffles kBitsShuffles;

}  // namespace mithril
