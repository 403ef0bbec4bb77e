// The full minima of a sketch → a 64-bit hash a band. The 32-bit keys of a sketch would agree by chance among billions.
#pragma once
#include <cstdint>

#include "csrc/base/checksum.h"
#include "csrc/dedup/rules.h"

namespace mithril::dedup {

// Row r of band b is permutation r × bands + b; a band's hash is the XXH3 of its rows as 32-bit integers.
inline void hash_bands(const uint32_t* minima, const SketchShape& shape, uint64_t* hashes) {
  uint32_t rows[kMaxPermutations];
  for (int band = 0; band < shape.bands; band++) {
    for (int r = 0; r < shape.rows; r++) rows[r] = minima[r * shape.bands + band];
    hashes[band] = xxh3_64(rows, static_cast<size_t>(shape.rows) * 4);
  }
}

}  // namespace mithril::dedup
