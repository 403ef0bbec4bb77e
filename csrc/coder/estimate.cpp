// What a sample says of a plane: one pass that both the policy and the tables of rans live on.
#include <algorithm>

#include "csrc/coder/coder.h"
#include "csrc/coder/log2.h"

namespace mithril {

ByteCounts count_bytes(const Plane& plane) noexcept {
  constexpr uint64_t kRun = 256, kStride = 4096, kAll = 16384;
  std::array<std::array<uint32_t, 256>, 4> counts{};  // four tables: equal neighbours would wait for each other's store
  uint64_t n = plane.bytes(), stride = n <= kAll ? kRun : kStride;
  ByteCounts sum;
  for (uint64_t at = 0; at < n; at += stride) {
    uint64_t run = std::min(kRun, n - at), i = 0;
    if (n - at > stride + kRun)
      for (uint64_t ahead = 0; ahead < kRun; ahead += 64) __builtin_prefetch(plane.symbols + at + stride + ahead);
    for (; i + 4 <= run; i += 4)
      for (uint64_t k = 0; k < 4; k++) counts[k][plane.symbols[at + i + k]]++;
    for (; i < run; i++) counts[0][plane.symbols[at + i]]++;
    sum.total += run;
  }
  for (uint32_t v = 0; v < 256; v++) sum.of[v] = counts[0][v] + counts[1][v] + counts[2][v] + counts[3][v];
  return sum;
}

uint64_t estimate_bits(const Plane& plane, const ByteCounts& counts) noexcept {
  if (counts.total == 0) return 0;
  uint64_t bits_q16 = counts.total * log2_q16(counts.total);
  for (uint64_t c : counts.of)
    if (c) bits_q16 -= c * log2_q16(c);
  return (bits_q16 >> 16) * plane.bytes() / counts.total;
}

}  // namespace mithril
