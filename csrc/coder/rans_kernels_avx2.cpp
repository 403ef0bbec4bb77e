// Registers of 32 bytes.
#include "csrc/base/simd.h"
#include "csrc/coder/rans_kernels.h"
#include "csrc/coder/rans_shuffles.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2,popcnt")
#include <immintrin.h>

namespace mithril::avx2 {

namespace {

using V = __m256i;
constexpr int kWidth = 32;

inline V load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store(uint8_t* p, V v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline V load16(const uint8_t* p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline V bytes_of(uint32_t b) { return _mm256_set1_epi8(static_cast<char>(b)); }
inline V words_of(uint32_t w) { return _mm256_set1_epi16(static_cast<short>(w)); }
inline V add8(V a, V b) { return _mm256_add_epi8(a, b); }
inline V sub8(V a, V b) { return _mm256_sub_epi8(a, b); }
inline V saturating_add8(V a, V b) { return _mm256_adds_epu8(a, b); }
inline V max8(V a, V b) { return _mm256_max_epu8(a, b); }
inline V min8(V a, V b) { return _mm256_min_epu8(a, b); }
inline V equal8(V a, V b) { return _mm256_cmpeq_epi8(a, b); }
inline V above8(V a, V b) { return _mm256_cmpgt_epi8(a, b); }
inline V add16(V a, V b) { return _mm256_add_epi16(a, b); }
inline V sub16(V a, V b) { return _mm256_sub_epi16(a, b); }
inline V multiply16(V a, V b) { return _mm256_mullo_epi16(a, b); }
inline V high_multiply16(V a, V b) { return _mm256_mulhi_epu16(a, b); }
inline V above16(V a, V b) { return _mm256_cmpgt_epi16(a, b); }
inline V multiply_add8(V a, V b) { return _mm256_maddubs_epi16(a, b); }
inline V unpack_low8(V a, V b) { return _mm256_unpacklo_epi8(a, b); }
inline V unpack_high8(V a, V b) { return _mm256_unpackhi_epi8(a, b); }
inline V pack8(V a, V b) { return _mm256_packus_epi16(a, b); }
template <int N>
inline V left16(V a) {
  return _mm256_slli_epi16(a, N);
}
template <int N>
inline V right16(V a) {
  return _mm256_srli_epi16(a, N);
}
inline V shuffle(V t, V i) { return _mm256_shuffle_epi8(t, i); }
inline V select(V if_clear, V if_set, V mask) { return _mm256_blendv_epi8(if_clear, if_set, mask); }  // by top bits
constexpr bool kSelects = true;
inline uint32_t mask_of(V v) { return static_cast<uint32_t>(_mm256_movemask_epi8(v)); }
inline bool any(V v) { return !_mm256_testz_si256(v, v); }

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

// The next bytes from p on, at the places that m names.
inline V take(const uint8_t*& p, uint32_t m) {
  __m128i a = take8(p, m & 255), b = take8(p, m >> 8 & 255), c = take8(p, m >> 16 & 255), d = take8(p, m >> 24);
  return _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b));
}

}  // namespace

}  // namespace mithril::avx2

#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/coder/rans_kernels_narrow.h"
#pragma GCC pop_options
#endif
