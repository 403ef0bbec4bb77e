// Registers of 32 bytes.
#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/bits_shuffles.h"
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
inline V load_twice(const void* p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
inline V load_at(const uint8_t* p, size_t distance) {
  const __m128i *low = reinterpret_cast<const __m128i*>(p), *high = reinterpret_cast<const __m128i*>(p + distance);
  return _mm256_set_m128i(_mm_loadu_si128(high), _mm_loadu_si128(low));
}
inline void store_at(uint8_t* p, size_t distance, V v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(v));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + distance), _mm256_extracti128_si256(v, 1));
}
inline V words(int w) { return _mm256_set1_epi16(static_cast<short>(w)); }
inline V integers(int i) { return _mm256_set1_epi32(i); }
inline V integers64(int64_t i) { return _mm256_set1_epi64x(i); }
inline V multiply_add8(V a, V b) { return _mm256_maddubs_epi16(a, b); }
inline V multiply_add16(V a, V b) { return _mm256_madd_epi16(a, b); }
inline V multiply16(V a, V b) { return _mm256_mullo_epi16(a, b); }
inline V right16(V v, __m128i n) { return _mm256_srl_epi16(v, n); }
inline V right64(V v, __m128i n) { return _mm256_srl_epi64(v, n); }
inline V shuffle(V t, V i) { return _mm256_shuffle_epi8(t, i); }
inline V bytes_of_words(V a, V b) { return _mm256_packus_epi16(a, b); }

}  // namespace

}  // namespace mithril::avx2

#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/coder/bits_kernels_narrow.h"
#pragma GCC pop_options
#endif
