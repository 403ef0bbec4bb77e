// log2 in fixed point: costs that must be the same on every machine use no floating point.
#pragma once
#include <cstdint>

namespace mithril {

// log2(x) in 1/65536 for x from 2^31 to 2^32 - 1, by squaring: exact to the last bit but rounding down.
constexpr uint32_t log2_by_squaring(uint64_t x) {
  uint32_t fraction = 0;
  for (int i = 0; i < 16; i++) {
    x = x * x >> 31;
    fraction <<= 1;
    if (x >> 32) x >>= 1, fraction |= 1;
  }
  return 31 << 16 | fraction;
}

struct Log2Table {
  uint32_t of[257] = {};  // log2(1 + i / 256) in 1/65536
  constexpr Log2Table() {
    for (uint64_t i = 0; i < 256; i++) of[i] = log2_by_squaring((256 + i) << 23) - (31 << 16);
    of[256] = 1 << 16;
  }
};
inline constexpr Log2Table kLog2;

// log2(x) in 1/65536, for x >= 1, linear between the steps of the table.
constexpr uint32_t log2_q16(uint64_t x) {
  uint32_t whole = 63 - static_cast<uint32_t>(__builtin_clzll(x));
  uint64_t m = x << (63 - whole);  // [2^63, 2^64)
  uint32_t step = m >> 55 & 255, rest = m >> 39 & 65535;
  return (whole << 16) + kLog2.of[step] +
         static_cast<uint32_t>(uint64_t{kLog2.of[step + 1] - kLog2.of[step]} * rest >> 16);
}

}  // namespace mithril
