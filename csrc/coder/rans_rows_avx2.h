// Rows of rans with AVX2: see rans_rows_narrow.h. Included under the target.
#pragma once
#include "csrc/base/simd_avx2.h"
#include "csrc/coder/rans_kernels.h"
#include "csrc/coder/rans_shuffles.h"

namespace mithril::avx2 {

namespace {

inline __m128i load8(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }

inline uint8_t* put8_before(uint8_t* p, uint32_t m, __m128i v) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p - 8), _mm_shuffle_epi8(v, load8(kRansShuffles.pack[m])));
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
  __m128i v = _mm_shuffle_epi8(load8(p), load8(kRansShuffles.spread[m]));
  p += __builtin_popcount(m);
  return v;
}

// The next bytes from p on, at the places that m names; zero elsewhere.
inline V take(const uint8_t*& p, uint32_t m) {
  __m128i a = take8(p, m & 255), b = take8(p, m >> 8 & 255), c = take8(p, m >> 16 & 255), d = take8(p, m >> 24);
  return _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
}

}  // namespace

}  // namespace mithril::avx2

#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/coder/rans_rows_narrow.h"
#undef MITHRIL_ISA_NAMESPACE
