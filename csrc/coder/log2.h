// log2 in fixed point: costs that must be the same on every machine use no floating point.
#pragma once
#include <cstdint>

namespace mithril {

// log2(x) in 1/65536, for x >= 1, by squaring: 16 fraction bits, exact to the last but rounding down.
constexpr uint32_t log2_q16(uint64_t x) {
  uint32_t whole = 63 - static_cast<uint32_t>(__builtin_clzll(x));
  uint64_t m = whole > 31 ? x >> (whole - 31) : x << (31 - whole);  // [2^31, 2^32)
  uint32_t fraction = 0;
  for (int i = 0; i < 16; i++) {
    m = m * m >> 31;
    fraction <<= 1;
    if (m >> 32) m >>= 1, fraction |= 1;
  }
  return whole << 16 | fraction;
}

}  // namespace mithril
