// Order-0 entropy from a sample, in fixed point.
#include <array>

#include "csrc/coder/coder.h"
#include "csrc/coder/log2.h"

namespace mithril {

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
