// Registers of 32 bytes. Packing and unpacking work within their halves, so the halves are put in order.
#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2")
#include <immintrin.h>

namespace mithril::avx2 {

namespace {

using V = __m256i;
constexpr size_t kWidth = 32;

inline V load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const V*>(p)); }
inline void store(uint8_t* p, V v) { _mm256_storeu_si256(reinterpret_cast<V*>(p), v); }
inline V words(uint32_t w) { return _mm256_set1_epi16(static_cast<short>(w)); }
inline V add16(V a, V b) { return _mm256_add_epi16(a, b); }
inline V sub16(V a, V b) { return _mm256_sub_epi16(a, b); }
inline V saturating_sub16(V a, V b) { return _mm256_subs_epu16(a, b); }
inline V equal16(V a, V b) { return _mm256_cmpeq_epi16(a, b); }
inline V left16(V a, int n) { return _mm256_slli_epi16(a, n); }
inline V right16(V a, int n) { return _mm256_srli_epi16(a, n); }
inline bool any(V v) { return !_mm256_testz_si256(v, v); }

inline V in_order(V v) { return _mm256_permute4x64_epi64(v, 0xd8); }
inline V pack(V a, V b) { return in_order(_mm256_packus_epi16(a, b)); }
inline void split_words(V a, V b, V& lower, V& upper) {
  const V halves = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  a = _mm256_shuffle_epi8(a, halves), b = _mm256_shuffle_epi8(b, halves);
  lower = in_order(_mm256_unpacklo_epi64(a, b)), upper = in_order(_mm256_unpackhi_epi64(a, b));
}
inline void mix_bytes(V even, V odd, V out[2]) {
  even = in_order(even), odd = in_order(odd);
  out[0] = _mm256_unpacklo_epi8(even, odd), out[1] = _mm256_unpackhi_epi8(even, odd);
}
inline void mix_words(V even, V odd, V out[2]) {
  even = in_order(even), odd = in_order(odd);
  out[0] = _mm256_unpacklo_epi16(even, odd), out[1] = _mm256_unpackhi_epi16(even, odd);
}

}  // namespace

}  // namespace mithril::avx2

#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/transform/key_kernels_narrow.h"
#pragma GCC pop_options
#endif
