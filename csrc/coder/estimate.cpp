// Order-0 entropy from a sample, in fixed point: a policy that must give the same answer on every machine uses no
// floating point.
#include <array>

#include "csrc/coder/coder.h"

namespace mithril {

// log2(x) in 1/65536, for x >= 1, by squaring: 16 fraction bits, exact to the last but rounding down.
static constexpr uint32_t log2_q16(uint64_t x) {
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

uint64_t estimate_bits(const Plane& plane) noexcept {
  constexpr uint64_t kRun = 64, kStride = 1024;
  std::array<std::array<uint32_t, 256>, 2> counts{};  // two tables: equal neighbours would wait for each other's store
  uint64_t n = plane.bytes(), sampled = 0;
  uint64_t stride = n <= 4 * kStride ? kRun : kStride;
  for (uint64_t at = 0; at < n; at += stride) {
    uint64_t run = n - at < kRun ? n - at : kRun;
    for (uint64_t i = 0; i < run; i++) counts[i & 1][plane.symbols[at + i]]++;
    sampled += run;
  }
  if (sampled == 0) return 0;
  uint64_t bits_q16 = sampled * log2_q16(sampled);
  for (int s = 0; s < 256; s++)
    if (uint64_t c = counts[0][s] + counts[1][s]) bits_q16 -= c * log2_q16(c);
  return (bits_q16 >> 16) * n / sampled;
}

}  // namespace mithril
