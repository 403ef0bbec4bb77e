// 64 lanes in a pair of registers: the high bytes of their states, and the low ones. A slot is a low byte, so every
// look-up is a byte shuffle; products are taken in 16 bits, first of the even lanes, then of the odd ones.
#include "csrc/base/simd.h"
#include "csrc/coder/rans_kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,popcnt")
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace mithril::avx512 {

namespace {

using V = __m512i;

inline V load(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void store(uint8_t* p, V v) { _mm512_storeu_si512(p, v); }
inline int count(__mmask64 m) { return __builtin_popcountll(m); }

// Looks up in 256 bytes.
struct Table256 {
  V t[4];
  explicit Table256(const uint8_t* p) : t{load(p), load(p + 64), load(p + 128), load(p + 192)} {}
  V operator[](V i) const {
    V low = _mm512_permutex2var_epi8(t[0], i, t[1]), high = _mm512_permutex2var_epi8(t[2], i, t[3]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(i), high);
  }
};

// Looks up in 16 bytes, or 32 if Wide.
template <bool Wide>
struct Table {
  V t;
  explicit Table(const uint8_t* p)
      : t(Wide ? _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))
               : _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))) {}
  V operator[](V i) const { return Wide ? _mm512_permutexvar_epi8(i, t) : _mm512_shuffle_epi8(t, i); }
};

// Bytes of `low` where the index is even, of `high` where it is odd.
inline V blend(V low, V high) { return _mm512_ternarylogic_epi32(_mm512_set1_epi16(0xff), low, high, 0xca); }
// The words 256 · high + low of the even lanes, and of the odd ones; and back.
inline V even(V high, V low) { return blend(low, _mm512_slli_epi16(high, 8)); }
inline V odd(V high, V low) { return blend(_mm512_srli_epi16(low, 8), high); }
inline V even(V x) { return _mm512_and_si512(x, _mm512_set1_epi16(0xff)); }
inline V odd(V x) { return _mm512_srli_epi16(x, 8); }
inline V low_bytes(V even, V odd) { return blend(even, _mm512_slli_epi16(odd, 8)); }
inline V high_bytes(V even, V odd) { return blend(_mm512_srli_epi16(even, 8), odd); }

// The bytes of v that m names, in front of p. A store of 64 bytes: those below are not written yet.
inline uint8_t* put_before(uint8_t* p, __mmask64 m, V v, V iota) {
  int n = count(m);
  V turned = _mm512_add_epi8(iota, _mm512_set1_epi8(static_cast<char>(n)));
  store(p - 64, _mm512_permutexvar_epi8(turned, _mm512_maskz_compress_epi8(m, v)));
  return p - n;
}

// x div f and x mod f for x < 256 f, by the reciprocal and one correction.
inline void divide(V x, V reciprocal, V f, V& quotient, V& rest) {
  V q = _mm512_mulhi_epu16(x, reciprocal), r = _mm512_sub_epi16(x, _mm512_mullo_epi16(q, f));
  __mmask32 more = _mm512_cmpge_epu16_mask(r, f);
  quotient = _mm512_mask_add_epi16(q, more, q, _mm512_set1_epi16(1));
  rest = _mm512_mask_sub_epi16(r, more, r, f);
}

template <int Groups, bool Wide>
void encode_rows(const RansTable& table, const uint8_t* symbols, size_t rows, RansEncoder& encoder) {
  const Table256 index_of_value(table.index_of_value);
  const Table<Wide> frequency(table.frequency), start(table.start);
  const Table<Wide> reciprocal_low(table.reciprocal_low), reciprocal_high(table.reciprocal_high);
  const V escape = _mm512_set1_epi8(static_cast<char>(table.size - 1));
  alignas(64) uint8_t numbers[64];
  for (int i = 0; i < 64; i++) numbers[i] = static_cast<uint8_t>(i);
  const V iota = load(numbers);
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(encoder.states.high + 64 * g), low[g] = load(encoder.states.low + 64 * g);
  uint8_t *bytes = encoder.bytes, *escapes = encoder.escapes;
  for (const uint8_t* row = symbols + rows * 64 * Groups; row != symbols;) {
    row -= 64 * Groups;
#pragma GCC unroll 2
    for (int g = Groups - 1; g >= 0; g--) {
      V symbol = load(row + 64 * g), k = index_of_value[symbol];
      escapes = put_before(escapes, _mm512_cmpeq_epi8_mask(k, escape), symbol, iota);
      V f = frequency[k], s = start[k], rl = reciprocal_low[k], rh = reciprocal_high[k];
      __mmask64 full = _mm512_cmpge_epu8_mask(high[g], f);
      bytes = put_before(bytes, full, low[g], iota);
      V l = _mm512_mask_mov_epi8(low[g], full, high[g]), h = _mm512_maskz_mov_epi8(~full, high[g]);
      V quotient[2], rest[2];
      divide(even(h, l), even(rh, rl), even(f), quotient[0], rest[0]);
      divide(odd(h, l), odd(rh, rl), odd(f), quotient[1], rest[1]);
      high[g] = _mm512_or_si512(quotient[0], _mm512_slli_epi16(quotient[1], 8));
      low[g] = _mm512_add_epi8(s, _mm512_or_si512(rest[0], _mm512_slli_epi16(rest[1], 8)));
    }
  }
  for (int g = 0; g < Groups; g++)
    store(encoder.states.high + 64 * g, high[g]), store(encoder.states.low + 64 * g, low[g]);
  encoder.bytes = bytes, encoder.escapes = escapes;
}

template <int Groups, bool Wide>
size_t decode_rows(const RansTable& table, uint8_t* symbols, size_t rows, RansDecoder& decoder) {
  const Table256 index_of_slot(table.index_of_slot);
  const Table<Wide> frequency(table.frequency), start(table.start), value(table.value);
  const V escape = _mm512_set1_epi8(static_cast<char>(table.size - 1));
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(decoder.states.high + 64 * g), low[g] = load(decoder.states.low + 64 * g);
  const uint8_t *bytes = decoder.bytes, *bytes_limit = decoder.bytes_limit;
  const uint8_t *escapes = decoder.escapes, *escapes_limit = decoder.escapes_limit;
  size_t row = 0;
  for (; row < rows && bytes <= bytes_limit && escapes <= escapes_limit; row++, symbols += 64 * Groups) {
#pragma GCC unroll 2
    for (int g = 0; g < Groups; g++) {
      V k = index_of_slot[low[g]];
      V f = frequency[k], offset = _mm512_sub_epi8(low[g], start[k]), h = high[g];
      V x0 = _mm512_add_epi16(_mm512_mullo_epi16(even(f), even(h)), even(offset));
      V x1 = _mm512_add_epi16(_mm512_mullo_epi16(odd(f), odd(h)), odd(offset));
      V l = low_bytes(x0, x1);
      h = high_bytes(x0, x1);
      __mmask64 empty = _mm512_testn_epi8_mask(h, h);
      high[g] = _mm512_mask_mov_epi8(h, empty, l);
      low[g] = _mm512_mask_expand_epi8(l, empty, load(bytes));
      bytes += count(empty);
      __mmask64 escaped = _mm512_cmpeq_epi8_mask(k, escape);
      store(symbols + 64 * g, _mm512_mask_expand_epi8(value[k], escaped, load(escapes)));
      escapes += count(escaped);
    }
  }
  for (int g = 0; g < Groups; g++)
    store(decoder.states.high + 64 * g, high[g]), store(decoder.states.low + 64 * g, low[g]);
  decoder.bytes = bytes, decoder.escapes = escapes;
  return row;
}

void encode(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows,
            RansEncoder& encoder) noexcept {
  bool wide = table.size > 16;
  if (lanes == 64)
    wide ? encode_rows<1, true>(table, symbols, rows, encoder) : encode_rows<1, false>(table, symbols, rows, encoder);
  else
    wide ? encode_rows<2, true>(table, symbols, rows, encoder) : encode_rows<2, false>(table, symbols, rows, encoder);
}

size_t decode(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder& decoder) noexcept {
  bool wide = table.size > 16;
  if (lanes == 64)
    return wide ? decode_rows<1, true>(table, symbols, rows, decoder)
                : decode_rows<1, false>(table, symbols, rows, decoder);
  return wide ? decode_rows<2, true>(table, symbols, rows, decoder)
              : decode_rows<2, false>(table, symbols, rows, decoder);
}

}  // namespace

extern const RansKernels kRansKernels;
const RansKernels kRansKernels = {encode, decode};

}  // namespace mithril::avx512

#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
