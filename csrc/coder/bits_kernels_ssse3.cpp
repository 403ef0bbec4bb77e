// Registers of 16 bytes; nothing beyond SSSE3.
#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/bits_shuffles.h"
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
inline V load_twice(const void* p) { return _mm_loadu_si128(static_cast<const V*>(p)); }
inline V load_at(const uint8_t* p, size_t) { return load(p); }
inline void store_at(uint8_t* p, size_t, V v) { store(p, v); }
inline V words(int w) { return _mm_set1_epi16(static_cast<short>(w)); }
inline V integers(int i) { return _mm_set1_epi32(i); }
inline V integers64(int64_t i) { return _mm_set1_epi64x(i); }
inline V multiply_add8(V a, V b) { return _mm_maddubs_epi16(a, b); }
inline V multiply_add16(V a, V b) { return _mm_madd_epi16(a, b); }
inline V multiply16(V a, V b) { return _mm_mullo_epi16(a, b); }
inline V right16(V v, __m128i n) { return _mm_srl_epi16(v, n); }
inline V right64(V v, __m128i n) { return _mm_srl_epi64(v, n); }
inline V shuffle(V t, V i) { return _mm_shuffle_epi8(t, i); }
inline V bytes_of_words(V a, V b) { return _mm_packus_epi16(a, b); }

}  // namespace

}  // namespace mithril::ssse3

#define MITHRIL_ISA_NAMESPACE ssse3
#include "csrc/coder/bits_kernels_narrow.h"
#pragma GCC pop_options
#endif
