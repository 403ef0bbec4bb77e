// Registers of 16 bytes; nothing beyond SSSE3.
#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("ssse3")
#include <tmmintrin.h>

namespace mithril::ssse3 {

namespace {

using V = __m128i;
constexpr size_t kWidth = 16;

inline V load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const V*>(p)); }
inline void store(uint8_t* p, V v) { _mm_storeu_si128(reinterpret_cast<V*>(p), v); }
inline V words(uint32_t w) { return _mm_set1_epi16(static_cast<short>(w)); }
inline V add16(V a, V b) { return _mm_add_epi16(a, b); }
inline V sub16(V a, V b) { return _mm_sub_epi16(a, b); }
inline V saturating_sub16(V a, V b) { return _mm_subs_epu16(a, b); }
inline V equal16(V a, V b) { return _mm_cmpeq_epi16(a, b); }
inline V left16(V a, int n) { return _mm_slli_epi16(a, n); }
inline V right16(V a, int n) { return _mm_srli_epi16(a, n); }
inline bool any(V v) { return _mm_movemask_epi8(_mm_cmpeq_epi8(v, V{})) != 0xffff; }

inline V pack(V a, V b) { return _mm_packus_epi16(a, b); }
inline void split_words(V a, V b, V& lower, V& upper) {
  const V halves = _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  a = _mm_shuffle_epi8(a, halves), b = _mm_shuffle_epi8(b, halves);
  lower = _mm_unpacklo_epi64(a, b), upper = _mm_unpackhi_epi64(a, b);
}
inline void mix_bytes(V even, V odd, V out[2]) {
  out[0] = _mm_unpacklo_epi8(even, odd), out[1] = _mm_unpackhi_epi8(even, odd);
}
inline void mix_words(V even, V odd, V out[2]) {
  out[0] = _mm_unpacklo_epi16(even, odd), out[1] = _mm_unpackhi_epi16(even, odd);
}

}  // namespace

}  // namespace mithril::ssse3

#define MITHRIL_ISA_NAMESPACE ssse3
#include "csrc/transform/key_kernels_narrow.h"
#pragma GCC pop_options
#endif
