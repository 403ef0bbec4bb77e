// Registers of 16 bytes; nothing beyond SSSE3.
#include "csrc/base/simd.h"
#include "csrc/coder/rans_kernels.h"
#include "csrc/coder/rans_shuffles.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("ssse3")
#include <tmmintrin.h>

namespace mithril::ssse3 {

namespace {

using V = __m128i;
constexpr int kWidth = 16;

inline V load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline void store(uint8_t* p, V v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
inline V load16(const uint8_t* p) { return load(p); }
inline V bytes_of(uint32_t b) { return _mm_set1_epi8(static_cast<char>(b)); }
inline V words_of(uint32_t w) { return _mm_set1_epi16(static_cast<short>(w)); }
inline V add8(V a, V b) { return _mm_add_epi8(a, b); }
inline V sub8(V a, V b) { return _mm_sub_epi8(a, b); }
inline V saturating_add8(V a, V b) { return _mm_adds_epu8(a, b); }
inline V max8(V a, V b) { return _mm_max_epu8(a, b); }
inline V min8(V a, V b) { return _mm_min_epu8(a, b); }
inline V equal8(V a, V b) { return _mm_cmpeq_epi8(a, b); }
inline V above8(V a, V b) { return _mm_cmpgt_epi8(a, b); }
inline V add16(V a, V b) { return _mm_add_epi16(a, b); }
inline V sub16(V a, V b) { return _mm_sub_epi16(a, b); }
inline V multiply16(V a, V b) { return _mm_mullo_epi16(a, b); }
inline V high_multiply16(V a, V b) { return _mm_mulhi_epu16(a, b); }
inline V above16(V a, V b) { return _mm_cmpgt_epi16(a, b); }
inline V multiply_add8(V a, V b) { return _mm_maddubs_epi16(a, b); }
inline V unpack_low8(V a, V b) { return _mm_unpacklo_epi8(a, b); }
inline V unpack_high8(V a, V b) { return _mm_unpackhi_epi8(a, b); }
inline V pack8(V a, V b) { return _mm_packus_epi16(a, b); }
template <int N>
inline V left16(V a) {
  return _mm_slli_epi16(a, N);
}
template <int N>
inline V right16(V a) {
  return _mm_srli_epi16(a, N);
}
inline V shuffle(V t, V i) { return _mm_shuffle_epi8(t, i); }
inline V select(V if_clear, V if_set, V mask) { return (if_clear & ~mask) | (if_set & mask); }  // by whole bytes
constexpr bool kSelects = false;  // with no more than ands and ors
inline uint32_t mask_of(V v) { return static_cast<uint32_t>(_mm_movemask_epi8(v)); }
inline bool any(V v) { return mask_of(equal8(v, V{})) != 0xffff; }

inline V load8(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }

inline uint8_t* put8_before(uint8_t* p, uint32_t m, V v) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p - 8), _mm_shuffle_epi8(v, load8(kRansShuffles.pack[m])));
  return p - kRansShuffles.count[m];
}

// The bytes of v that m names, in front of p; those below, down to p - 16, are not written yet.
inline uint8_t* put_before(uint8_t* p, uint32_t m, V v) {
  p = put8_before(p, m >> 8, _mm_srli_si128(v, 8));
  return put8_before(p, m & 255, v);
}

inline V take8(const uint8_t*& p, uint32_t m) {
  V v = _mm_shuffle_epi8(load8(p), load8(kRansShuffles.spread[m]));
  p += kRansShuffles.count[m];
  return v;
}

// The next bytes from p on, at the places that m names.
inline V take(const uint8_t*& p, uint32_t m) {
  V a = take8(p, m & 255), b = take8(p, m >> 8);
  return _mm_unpacklo_epi64(a, b);
}

}  // namespace

}  // namespace mithril::ssse3

#define MITHRIL_ISA_NAMESPACE ssse3
#include "csrc/coder/rans_kernels_narrow.h"
#pragma GCC pop_options
#endif
