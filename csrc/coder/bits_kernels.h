// Symbols of b < 8 bits packed, least significant bit first: eight symbols are b bytes. One set per instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/cpu.h"

namespace mithril {

struct BitsKernels {
  // `groups` of eight symbols, one byte each, to and from `groups` · bits bytes; nothing beyond is touched.
  void (*pack)(const uint8_t* symbols, size_t groups, uint32_t bits, uint8_t* out) noexcept;
  void (*unpack)(const uint8_t* packed, size_t groups, uint32_t bits, uint8_t* symbols) noexcept;
};

const BitsKernels& bits_kernels(Isa isa);

}  // namespace mithril
