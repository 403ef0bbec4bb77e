// The loops over bytes, words and shingles. One source for all instruction sets (kernels_body.h); every set gives the
// same bits.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/cpu.h"

namespace mithril::dedup {

// Bytes past the end of `lower` that must be there: classify overwrites them, the hashes read them.
inline constexpr size_t kSlack = 64;
// Numbers that the widest kernel takes at a time.
inline constexpr size_t kLanes = 16;

struct Kernels {
  // text: `size` bytes; lower: kSlack more. Bit i % 64 of word[i / 64] says that byte i is an
  // ASCII letter, digit or underscore, that of high[i / 64] that it is not ASCII; bits past the end are 0. Where
  // `fold`, capitals become small letters. Returns whether any byte is not ASCII.
  bool (*classify)(const uint8_t* text, size_t size, bool fold, uint8_t* lower, uint64_t* word,
                   uint64_t* high) noexcept;

  // Hashes every run of bytes whose bit in `word` is set; a bit of `first`, which may be null, begins a new word within
  // a run. Writes at most `size` hashes and returns how many. Words hold no zero bytes.
  size_t (*hash32)(const uint8_t* lower, size_t size, const uint64_t* word, const uint64_t* first,
                   uint32_t* hashes) noexcept;
  size_t (*hash64)(const uint8_t* lower, size_t size, const uint64_t* word, const uint64_t* first,
                   uint64_t* hashes) noexcept;

  // shingles[i] from words[i] … words[i + n − 1], for 0 <= i < count. Reads, and writes, up to kLanes more of both:
  // what stands there does not matter.
  void (*shingles)(const uint32_t* words, size_t count, const uint32_t* coefficients, size_t n,
                   uint32_t* shingles) noexcept;

  // Lowers minima[j], and raises maxima[j], to the extremes of shingle × multipliers[j] mod 2³², for j < `lanes`, a
  // multiple of kLanes.
  void (*extremes)(const uint32_t* shingles, size_t count, const uint32_t* multipliers, size_t lanes, uint32_t* minima,
                   uint32_t* maxima) noexcept;

  // digests[j], for j < count: 4 bits of minima[j], and above them 4 of maxima[j].
  void (*digests)(const uint32_t* minima, const uint32_t* maxima, size_t count, uint8_t* digests) noexcept;
  // keys[b], for b < bands, from values[r × bands + b] for r < rows.
  void (*keys)(const uint32_t* values, size_t bands, size_t rows, uint32_t* keys) noexcept;
};

const Kernels& kernels(Isa isa);

}  // namespace mithril::dedup
