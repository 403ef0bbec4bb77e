// Band key → documents, a table for each band. Lines of 64 bytes: eight keys, and the eight ids that belong to them;
// what a full line cannot take goes into the next.
#pragma once
#include <cstdint>

#include "csrc/base/simd.h"
#include "csrc/dedup/zeroed_array.h"
#ifdef MITHRIL_SIMD
#include <emmintrin.h>
#endif

namespace mithril::dedup {

// Documents that one key of a band may hold. Whoever inserts counts, and leaves out what comes after them.
inline constexpr uint32_t kMaxPerKey = 128;

class BandTables {
 public:
  // Room for `capacity` ids in each band: 9.1 bytes each. More than that must not be inserted.
  BandTables(uint64_t bands, uint64_t capacity)
      : lines_a_band_(capacity / kFilled + 1), lines_(bands * lines_a_band_) {}

  void populate(int threads) { lines_.populate(threads); }

  void prefetch(uint64_t band, uint32_t key) const { __builtin_prefetch(&lines_[line_of(band, key)]); }

  // Calls take(id) for the documents under `key`, in the order of insertion.
  template <class Take>
  void find(uint64_t band, uint32_t key, Take take) const {
    for (uint64_t l = line_of(band, key);; l = next(band, l)) {
      const Line& line = lines_[l];
      const uint32_t used = ~equal(line.ids, 0) & 0xff;
      for (uint32_t matches = equal(line.keys, key) & used; matches; matches &= matches - 1)
        take(line.ids[__builtin_ctz(matches)] - 1);
      if (used != 0xff) return;
    }
  }

  void insert(uint64_t band, uint32_t key, uint32_t id) {
    uint64_t l = line_of(band, key);
    uint32_t free;
    while ((free = equal(lines_[l].ids, 0)) == 0) l = next(band, l);
    const int place = __builtin_ctz(free);
    lines_[l].keys[place] = key, lines_[l].ids[place] = id + 1;
  }

 private:
  static constexpr uint64_t kFilled = 7;  // of the eight, on average, when all are in
  struct alignas(64) Line {
    uint32_t keys[8];
    uint32_t ids[8];  // and 1, so that 0 is none
  };

  // A bit for each of the eight that equals `value`.
  static uint32_t equal(const uint32_t* eight, uint32_t value) {
#ifdef MITHRIL_SIMD
    const __m128i v = _mm_set1_epi32(static_cast<int>(value));
    const auto* p = reinterpret_cast<const __m128i*>(eight);
    const __m128i both =
        _mm_packs_epi32(_mm_cmpeq_epi32(_mm_load_si128(p), v), _mm_cmpeq_epi32(_mm_load_si128(p + 1), v));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(both, both))) & 0xff;
#else
    uint32_t bits = 0;
    for (int i = 0; i < 8; i++) bits |= static_cast<uint32_t>(eight[i] == value) << i;
    return bits;
#endif
  }

  uint64_t line_of(uint64_t band, uint32_t key) const { return band * lines_a_band_ + (key * lines_a_band_ >> 32); }
  uint64_t next(uint64_t band, uint64_t line) const {
    return line + 1 == (band + 1) * lines_a_band_ ? band * lines_a_band_ : line + 1;
  }

  uint64_t lines_a_band_;
  ZeroedArray<Line> lines_;
};

}  // namespace mithril::dedup
