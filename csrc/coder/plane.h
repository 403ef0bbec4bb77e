// What coders code.
#pragma once
#include <cstdint>

namespace mithril {

// `count` symbols of `bits` bits, one byte each up to 8 bits, else bits / 8 bytes each.
struct Plane {
  const uint8_t* symbols;
  uint64_t count;
  uint32_t bits;

  uint64_t bytes() const { return count * ((bits + 7) / 8); }
};

// Bytes taken from a plane in runs of kSampleRun at equal distances, one run after the other: what the policy and the
// tables of rans are made from.
struct Sample {
  const uint8_t* symbols;
  uint64_t count;
};
inline constexpr uint64_t kSampleRun = 256;

}  // namespace mithril
