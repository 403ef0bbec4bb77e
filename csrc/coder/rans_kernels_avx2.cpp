// As with AVX-512, but 32 lanes in a pair of registers, look-ups from at most 16 bytes at a time, and bytes packed and
// spread eight at a time by shuffles from a table.
#include "csrc/base/simd.h"
#include "csrc/coder/rans_kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2,popcnt")
#include <immintrin.h>

namespace mithril::avx2 {

namespace {

using V = __m256i;

inline V load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store(uint8_t* p, V v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline V load16(const uint8_t* p) {  // twice
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline V bytes_of(uint32_t b) { return _mm256_set1_epi8(static_cast<char>(b)); }
inline uint32_t mask_of(V v) { return static_cast<uint32_t>(_mm256_movemask_epi8(v)); }
inline V at_least(V a, V b) { return _mm256_cmpeq_epi8(_mm256_max_epu8(a, b), a); }  // unsigned bytes

// For each mask of eight bytes the shuffle that packs them to the upper end, and the one that spreads them from the
// lower.
struct Shuffles {
  alignas(64) uint8_t pack[256][8] = {}, spread[256][8] = {};
  constexpr Shuffles() {
    for (int m = 0; m < 256; m++) {
      int n = 0;
      for (int i = 0; i < 8; i++) n += m >> i & 1;
      for (int i = 0, k = 0; i < 8; i++) {
        pack[m][i] = spread[m][i] = 0x80;
        if (m >> i & 1) spread[m][i] = static_cast<uint8_t>(k++);
      }
      for (int i = 0, k = 8 - n; i < 8; i++)
        if (m >> i & 1) pack[m][k++] = static_cast<uint8_t>(i);
    }
  }
};
constexpr Shuffles kShuffles;

inline __m128i load8(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }

inline uint8_t* put8_before(uint8_t* p, uint32_t m, __m128i v) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p - 8), _mm_shuffle_epi8(v, load8(kShuffles.pack[m])));
  return p - __builtin_popcount(m);
}

// The bytes of v that m names, in front of p; those below, down to p - 32, are not written yet.
inline uint8_t* put_before(uint8_t* p, uint32_t m, V v) {
  __m128i high = _mm256_extracti128_si256(v, 1), low = _mm256_castsi256_si128(v);
  p = put8_before(p, m >> 24, _mm_srli_si128(high, 8));
  p = put8_before(p, m >> 16 & 255, high);
  p = put8_before(p, m >> 8 & 255, _mm_srli_si128(low, 8));
  return put8_before(p, m & 255, low);
}

inline __m128i take8(const uint8_t*& p, uint32_t m) {
  __m128i v = _mm_shuffle_epi8(load8(p), load8(kShuffles.spread[m]));
  p += __builtin_popcount(m);
  return v;
}

// The next bytes from p on, at the places that m names.
inline V take(const uint8_t*& p, uint32_t m) {
  __m128i a = take8(p, m & 255), b = take8(p, m >> 8 & 255), c = take8(p, m >> 16 & 255), d = take8(p, m >> 24);
  return _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
}

// Looks up in 16 bytes, or 32 if Wide.
template <bool Wide>
struct Table {
  V low, high;
  explicit Table(const uint8_t* p) : low(load16(p)), high(load16(p + 16)) {}
  V operator[](V i) const {
    V v = _mm256_shuffle_epi8(low, i);
    return Wide ? _mm256_blendv_epi8(v, _mm256_shuffle_epi8(high, i), _mm256_slli_epi16(i, 3)) : v;
  }
};

// index_of_value: a shuffle for each 16 values that have an index. Entries are kept as differences to the escape, so
// that those that are not there are zero.
struct IndexOfValue {
  V table[16], page[16], escape;
  int pages = 0;
  explicit IndexOfValue(const RansTable& t) : escape(bytes_of(t.size - 1)) {
    for (uint32_t high = 0; high < 16; high++) {
      V indices = _mm256_xor_si256(load16(t.index_of_value + 16 * high), escape);
      if (_mm256_testz_si256(indices, indices)) continue;
      table[pages] = indices, page[pages++] = bytes_of(16 * high);
    }
  }
  V operator[](V value) const {
    V k = escape;
    for (int i = 0; i < pages; i++) {
      // 0x70 to 0x7f within the page, above it 0x80 and more, which a shuffle turns to zero.
      V at = _mm256_adds_epu8(_mm256_xor_si256(value, page[i]), bytes_of(0x70));
      k = _mm256_xor_si256(k, _mm256_shuffle_epi8(table[i], at));
    }
    return k;
  }
};

// index_of_slot: within a cell of 16 slots the index mostly changes once at most, after the slot `last`; the other
// cells have a shuffle each.
struct IndexOfSlot {
  V base, last, table[16], cell[16];
  int others = 0;
  explicit IndexOfSlot(const RansTable& t) {
    uint8_t bases[16], lasts[16];
    for (uint32_t c = 0; c < 16; c++) {
      const uint8_t* indices = t.index_of_slot + 16 * c;
      bases[c] = static_cast<uint8_t>(indices[0] + 1), lasts[c] = 255;
      for (uint32_t i = 15; i > 0; i--)
        if (indices[i] != indices[i - 1]) lasts[c] = static_cast<uint8_t>(16 * c + i - 1);
      if (indices[15] > indices[0] + 1) table[others] = load16(indices), cell[others++] = bytes_of(c);
    }
    base = load16(bases), last = load16(lasts);
  }
  V operator[](V slot) const {
    V c = _mm256_and_si256(_mm256_srli_epi16(slot, 4), bytes_of(15)), bound = _mm256_shuffle_epi8(last, c);
    V k = _mm256_add_epi8(_mm256_shuffle_epi8(base, c), at_least(bound, slot));
    for (int i = 0; i < others; i++) {
      V other = _mm256_shuffle_epi8(table[i], _mm256_and_si256(slot, bytes_of(15)));
      k = _mm256_blendv_epi8(k, other, _mm256_cmpeq_epi8(c, cell[i]));
    }
    return k;
  }
};

// The words 256 · high + low of the even lanes, and of the odd ones; and back.
inline V even(V x) { return _mm256_and_si256(x, _mm256_set1_epi16(0xff)); }
inline V odd(V x) { return _mm256_srli_epi16(x, 8); }
inline V even(V high, V low) { return _mm256_or_si256(even(low), _mm256_slli_epi16(high, 8)); }
inline V odd(V high, V low) { return _mm256_or_si256(odd(low), _mm256_andnot_si256(_mm256_set1_epi16(0xff), high)); }
inline V low_bytes(V even, V odd) {
  return _mm256_blendv_epi8(_mm256_slli_epi16(odd, 8), even, _mm256_set1_epi16(0xff));
}
inline V high_bytes(V even, V odd) {
  return _mm256_blendv_epi8(odd, _mm256_srli_epi16(even, 8), _mm256_set1_epi16(0xff));
}

// x div f and x mod f for x < 256 f, by the reciprocal and one correction.
inline void divide(V x, V reciprocal, V f, V& quotient, V& rest) {
  V q = _mm256_mulhi_epu16(x, reciprocal), r = _mm256_sub_epi16(x, _mm256_mullo_epi16(q, f));
  V more = _mm256_cmpeq_epi16(_mm256_max_epu16(r, f), r);
  quotient = _mm256_sub_epi16(q, more);
  rest = _mm256_sub_epi16(r, _mm256_and_si256(more, f));
}

template <int Groups, bool Wide>  // of 32 lanes
void encode_rows(const RansTable& table, const uint8_t* symbols, size_t rows, RansEncoder& encoder) {
  const IndexOfValue index_of_value(table);
  const Table<Wide> frequency(table.frequency), start(table.start);
  const Table<Wide> reciprocal_low(table.reciprocal_low), reciprocal_high(table.reciprocal_high);
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(encoder.states.high + 32 * g), low[g] = load(encoder.states.low + 32 * g);
  uint8_t *bytes = encoder.bytes, *escapes = encoder.escapes;
  for (const uint8_t* row = symbols + rows * 32 * Groups; row != symbols;) {
    row -= 32 * Groups;
#pragma GCC unroll 4
    for (int g = Groups - 1; g >= 0; g--) {
      V symbol = load(row + 32 * g), k = index_of_value[symbol];
      if (uint32_t escaped = mask_of(_mm256_cmpeq_epi8(k, index_of_value.escape)))
        escapes = put_before(escapes, escaped, symbol);
      V f = frequency[k], s = start[k], rl = reciprocal_low[k], rh = reciprocal_high[k];
      V full = at_least(high[g], f);
      bytes = put_before(bytes, mask_of(full), low[g]);
      V l = _mm256_blendv_epi8(low[g], high[g], full), h = _mm256_andnot_si256(full, high[g]);
      V quotient[2], rest[2];
      divide(even(h, l), even(rh, rl), even(f), quotient[0], rest[0]);
      divide(odd(h, l), odd(rh, rl), odd(f), quotient[1], rest[1]);
      high[g] = _mm256_or_si256(quotient[0], _mm256_slli_epi16(quotient[1], 8));
      low[g] = _mm256_add_epi8(s, _mm256_or_si256(rest[0], _mm256_slli_epi16(rest[1], 8)));
    }
  }
  for (int g = 0; g < Groups; g++)
    store(encoder.states.high + 32 * g, high[g]), store(encoder.states.low + 32 * g, low[g]);
  encoder.bytes = bytes, encoder.escapes = escapes;
}

template <int Groups, bool Wide>
size_t decode_rows(const RansTable& table, uint8_t* symbols, size_t rows, RansDecoder& decoder) {
  const IndexOfSlot index_of_slot(table);
  const Table<Wide> frequency(table.frequency), start(table.start), value(table.value);
  const V escape = bytes_of(table.size - 1);
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(decoder.states.high + 32 * g), low[g] = load(decoder.states.low + 32 * g);
  const uint8_t *bytes = decoder.bytes, *bytes_limit = decoder.bytes_limit;
  const uint8_t *escapes = decoder.escapes, *escapes_limit = decoder.escapes_limit;
  size_t row = 0;
  for (; row < rows && bytes <= bytes_limit && escapes <= escapes_limit; row++, symbols += 32 * Groups) {
#pragma GCC unroll 4
    for (int g = 0; g < Groups; g++) {
      V k = index_of_slot[low[g]];
      V f = frequency[k], offset = _mm256_sub_epi8(low[g], start[k]), symbol = value[k], h = high[g];
      V x0 = _mm256_add_epi16(_mm256_mullo_epi16(even(f), even(h)), even(offset));
      V x1 = _mm256_add_epi16(_mm256_mullo_epi16(odd(f), odd(h)), odd(offset));
      V l = low_bytes(x0, x1);
      h = high_bytes(x0, x1);
      V empty = _mm256_cmpeq_epi8(h, _mm256_setzero_si256());
      high[g] = _mm256_blendv_epi8(h, l, empty);
      low[g] = _mm256_blendv_epi8(l, take(bytes, mask_of(empty)), empty);
      V is_escape = _mm256_cmpeq_epi8(k, escape);
      if (uint32_t escaped = mask_of(is_escape)) symbol = _mm256_blendv_epi8(symbol, take(escapes, escaped), is_escape);
      store(symbols + 32 * g, symbol);
    }
  }
  for (int g = 0; g < Groups; g++)
    store(decoder.states.high + 32 * g, high[g]), store(decoder.states.low + 32 * g, low[g]);
  decoder.bytes = bytes, decoder.escapes = escapes;
  return row;
}

void encode(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows,
            RansEncoder& encoder) noexcept {
  bool wide = table.size > 16;
  if (lanes == 64)
    wide ? encode_rows<2, true>(table, symbols, rows, encoder) : encode_rows<2, false>(table, symbols, rows, encoder);
  else
    wide ? encode_rows<4, true>(table, symbols, rows, encoder) : encode_rows<4, false>(table, symbols, rows, encoder);
}

size_t decode(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder& decoder) noexcept {
  bool wide = table.size > 16;
  if (lanes == 64)
    return wide ? decode_rows<2, true>(table, symbols, rows, decoder)
                : decode_rows<2, false>(table, symbols, rows, decoder);
  return wide ? decode_rows<4, true>(table, symbols, rows, decoder)
              : decode_rows<4, false>(table, symbols, rows, decoder);
}

}  // namespace

extern const RansKernels kRansKernels;
const RansKernels kRansKernels = {encode, decode};

}  // namespace mithril::avx2

#pragma GCC pop_options
#endif
