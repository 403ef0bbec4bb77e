// Many texts, in shares that threads take one by one; now and then all threads meet, and progress is told.
#pragma once
#include <algorithm>

#include "csrc/base/checked.h"
#include "csrc/base/parallel.h"
#include "csrc/dedup/deduplicate.h"

namespace mithril::dedup {

inline constexpr uint64_t kTextsPerShare = 256;

// Calls body(share, first, last) for texts first … last − 1 of each share of `texts`.
template <class Body>
void for_each_share(uint64_t texts, int threads, const char* stage, const Progress& progress, const Body& body) {
  const uint64_t shares = ceil_div(texts, kTextsPerShare);
  const uint64_t round = 16 * static_cast<uint64_t>(threads > 0 ? threads : default_threads());
  for (uint64_t begin = 0; begin < shares; begin += round) {
    const uint64_t end = std::min(shares, begin + round);
    parallel_for(end - begin, threads, [&](size_t i) {
      const uint64_t share = begin + i;
      body(share, share * kTextsPerShare, std::min(texts, (share + 1) * kTextsPerShare));
    });
    if (progress) progress(stage, std::min(texts, end * kTextsPerShare), texts);
  }
}

}  // namespace mithril::dedup
