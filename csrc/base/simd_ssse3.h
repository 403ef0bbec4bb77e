// What the kernels for registers of 16 bytes share: nothing beyond SSSE3. Included under their target.
#pragma once
#include <tmmintrin.h>

#include <cstddef>
#include <cstdint>

namespace mithril::ssse3 {

namespace {

using V = __m128i;
constexpr size_t kWidth = 16;

inline V load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const V*>(p)); }
inline void store(uint8_t* p, V v) { _mm_storeu_si128(reinterpret_cast<V*>(p), v); }
// 16 bytes, in each half of a register; 16 bytes, and 16 more at a distance.
inline V load16(const void* p) { return _mm_loadu_si128(static_cast<const V*>(p)); }
inline V load_at(const uint8_t* p, size_t) { return load(p); }
inline void store_at(uint8_t* p, size_t, V v) { store(p, v); }
inline V bytes_of(uint32_t b) { return _mm_set1_epi8(static_cast<char>(b)); }
inline V words_of(uint32_t w) { return _mm_set1_epi16(static_cast<short>(w)); }
inline V integers_of(uint32_t i) { return _mm_set1_epi32(static_cast<int>(i)); }
inline V longs_of(uint64_t i) { return _mm_set1_epi64x(static_cast<long long>(i)); }

inline V add8(V a, V b) { return _mm_add_epi8(a, b); }
inline V sub8(V a, V b) { return _mm_sub_epi8(a, b); }
inline V saturating_add8(V a, V b) { return _mm_adds_epu8(a, b); }
inline V min8(V a, V b) { return _mm_min_epu8(a, b); }
inline V max8(V a, V b) { return _mm_max_epu8(a, b); }
inline V equal8(V a, V b) { return _mm_cmpeq_epi8(a, b); }
inline V above8(V a, V b) { return _mm_cmpgt_epi8(a, b); }            // signed
inline V multiply_add8(V a, V b) { return _mm_maddubs_epi16(a, b); }  // unsigned · signed, in words
inline V shuffle(V t, V i) { return _mm_shuffle_epi8(t, i); }         // within 16 bytes

inline V add16(V a, V b) { return _mm_add_epi16(a, b); }
inline V sub16(V a, V b) { return _mm_sub_epi16(a, b); }
inline V saturating_sub16(V a, V b) { return _mm_subs_epu16(a, b); }
inline V multiply16(V a, V b) { return _mm_mullo_epi16(a, b); }
inline V high_multiply16(V a, V b) { return _mm_mulhi_epu16(a, b); }
inline V multiply_add16(V a, V b) { return _mm_madd_epi16(a, b); }  // in integers
inline V equal16(V a, V b) { return _mm_cmpeq_epi16(a, b); }
inline V above16(V a, V b) { return _mm_cmpgt_epi16(a, b); }  // signed
template <int N>
inline V left16(V a) {
  return _mm_slli_epi16(a, N);
}
template <int N>
inline V right16(V a) {
  return _mm_srli_epi16(a, N);
}
inline V right16(V v, __m128i n) { return _mm_srl_epi16(v, n); }
inline V right64(V v, __m128i n) { return _mm_srl_epi64(v, n); }

// Within the halves of a register; in_order() exchanges the two middle quarters.
inline V in_order(V v) { return v; }
inline V pack8(V a, V b) { return _mm_packus_epi16(a, b); }
inline V unpack_low8(V a, V b) { return _mm_unpacklo_epi8(a, b); }
inline V unpack_high8(V a, V b) { return _mm_unpackhi_epi8(a, b); }
inline V unpack_low16(V a, V b) { return _mm_unpacklo_epi16(a, b); }
inline V unpack_high16(V a, V b) { return _mm_unpackhi_epi16(a, b); }
inline V unpack_low64(V a, V b) { return _mm_unpacklo_epi64(a, b); }
inline V unpack_high64(V a, V b) { return _mm_unpackhi_epi64(a, b); }

// Whether select() is one instruction and goes by the top bits of bytes; else it needs all bits of the mask.
constexpr bool kSelects = false;
inline V select(V if_clear, V if_set, V mask) { return (if_clear & ~mask) | (if_set & mask); }
inline uint32_t mask_of(V v) { return static_cast<uint32_t>(_mm_movemask_epi8(v)); }
inline bool any(V v) { return mask_of(equal8(v, V{})) != 0xffff; }

}  // namespace

}  // namespace mithril::ssse3
