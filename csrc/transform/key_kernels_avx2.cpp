// Keys of bfloat16 and float32, 32 components at a time: see key_kernels_avx512.cpp. Packing to bytes works within the
// halves of a register, so the halves are put in order once.
#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2")
#include <immintrin.h>

namespace mithril::avx2 {

extern const Kernels kKernels;

namespace {

using V = __m256i;

inline V load(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const V*>(p)); }
inline void store(uint8_t* p, V v) { _mm256_storeu_si256(reinterpret_cast<V*>(p), v); }
inline V words(uint32_t w) { return _mm256_set1_epi16(static_cast<short>(w)); }
// Words below 256 to bytes, in order.
inline V pack(V a, V b) { return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8); }
inline V low_bytes(V a, V b) { return pack(_mm256_and_si256(a, words(0xff)), _mm256_and_si256(b, words(0xff))); }
inline V high_bytes(V a, V b) { return pack(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8)); }
// Two registers of 32-bit components: their upper and their lower halves as words.
inline V upper_words(V a, V b) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16)), 0xd8);
}
inline V lower_words(V a, V b) {
  V low = _mm256_set1_epi32(0xffff);
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low)), 0xd8);
}
// Two registers interleaved, in order: unpacking works within halves.
inline void mix_bytes(V even, V odd, V out[2]) {
  even = _mm256_permute4x64_epi64(even, 0xd8), odd = _mm256_permute4x64_epi64(odd, 0xd8);
  out[0] = _mm256_unpacklo_epi8(even, odd), out[1] = _mm256_unpackhi_epi8(even, odd);
}
inline void mix_words(V even, V odd, V out[2]) {
  even = _mm256_permute4x64_epi64(even, 0xd8), odd = _mm256_permute4x64_epi64(odd, 0xd8);
  out[0] = _mm256_unpacklo_epi16(even, odd), out[1] = _mm256_unpackhi_epi16(even, odd);
}

// Sign, 8 exponent bits and 7 mantissa bits in words: a bfloat16, or the upper half of a float32.
template <uint32_t J>
struct Words {
  static constexpr uint32_t kShift = 7 - J, kKeyBits = 8 + J;

  // Bytes of key and rest in words; a bit of `bad` is set for keys outside of the window.
  static void split(V x, V before, V& key, V& rest, V& bad) {
    V t = _mm256_and_si256(_mm256_srli_epi16(x, kShift), words((1 << kKeyBits) - 1));
    if constexpr (J == 0) {
      key = t;
    } else {
      V v = _mm256_sub_epi16(t, before), zero = _mm256_cmpeq_epi16(t, _mm256_setzero_si256());
      // 255 and more, or negative: more than 254 when unsigned.
      V inside = _mm256_cmpeq_epi16(_mm256_min_epu16(v, words(254)), v);
      bad = _mm256_or_si256(bad, _mm256_andnot_si256(_mm256_or_si256(inside, zero), words(1)));
      key = _mm256_blendv_epi8(v, words(255), zero);
    }
    V low = words((1 << kShift) - 1);
    rest = _mm256_or_si256(_mm256_and_si256(x, low), _mm256_andnot_si256(low, _mm256_srli_epi16(x, 8 + J)));
  }
  // From words of rest and, in the upper byte, key.
  static V join(V w, V before) {
    V t = _mm256_srli_epi16(w, 8);
    if constexpr (J > 0) {
      V zero = _mm256_cmpeq_epi16(t, words(255));
      t = _mm256_andnot_si256(zero, _mm256_add_epi16(t, before));
    }
    V sign = _mm256_and_si256(_mm256_slli_epi16(w, 8 + J), words(0x8000));
    V mantissa = _mm256_and_si256(w, words((1 << kShift) - 1));
    return _mm256_or_si256(_mm256_or_si256(_mm256_slli_epi16(t, kShift), mantissa), sign);
  }
};

template <uint32_t J>
struct BFloat16 {
  static constexpr uint32_t kKey = J ? 2 : 1;  // planes: rest, key_high when J > 0, key

  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    const V before = words(base + 1);
    V bad = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
      V key[2], rest[2];
      for (int h = 0; h < 2; h++) Words<J>::split(load(raw + 2 * i + 32 * h), before, key[h], rest[h], bad);
      store(planes[kKey] + i, low_bytes(key[0], key[1]));
      store(planes[0] + i, pack(rest[0], rest[1]));
    }
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kBFloat16)][J];
    if (!_mm256_testz_si256(bad, bad)) return body.split(raw, n, base, planes);
    uint8_t* const tail[] = {planes[0] + i, nullptr, planes[kKey] + i};
    uint8_t* const short_tail[] = {planes[0] + i, planes[kKey] + i};
    return body.split(raw + 2 * i, n - i, base, J ? tail : short_tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kBFloat16)][J];
    if (J && planes[1]) return body.join(planes, n, base, raw);
    const V before = words(base + 1);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
      V mixed[2];
      mix_bytes(load(planes[0] + i), load(planes[kKey] + i), mixed);
      for (int h = 0; h < 2; h++) store(raw + 2 * i + 32 * h, Words<J>::join(mixed[h], before));
    }
    const uint8_t* const tail[] = {planes[0] + i, nullptr, planes[kKey] + i};
    const uint8_t* const short_tail[] = {planes[0] + i, planes[kKey] + i};
    body.join(J ? tail : short_tail, n - i, base, raw + 2 * i);
  }
};

template <uint32_t J>
struct Float32 {
  static constexpr uint32_t kKey = J ? 4 : 3;  // planes: rest, two bytes, key_high when J > 0, key

  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    const V before = words(base + 1);
    V bad = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
      V key[2], rest[2], low[2];
      for (int h = 0; h < 2; h++) {
        V a = load(raw + 4 * i + 64 * h), b = load(raw + 4 * i + 64 * h + 32);
        low[h] = lower_words(a, b);
        Words<J>::split(upper_words(a, b), before, key[h], rest[h], bad);
      }
      store(planes[kKey] + i, low_bytes(key[0], key[1]));
      store(planes[0] + i, pack(rest[0], rest[1]));
      store(planes[1] + i, high_bytes(low[0], low[1]));
      store(planes[2] + i, low_bytes(low[0], low[1]));
    }
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kFloat32)][J];
    if (!_mm256_testz_si256(bad, bad)) return body.split(raw, n, base, planes);
    uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, nullptr, planes[kKey] + i};
    uint8_t* const short_tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, planes[kKey] + i};
    return body.split(raw + 4 * i, n - i, base, J ? tail : short_tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kFloat32)][J];
    if (J && planes[3]) return body.join(planes, n, base, raw);
    const V before = words(base + 1);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
      V upper[2], lower[2], mixed[2];
      mix_bytes(load(planes[0] + i), load(planes[kKey] + i), upper);
      mix_bytes(load(planes[2] + i), load(planes[1] + i), lower);
      for (int h = 0; h < 2; h++) {
        mix_words(lower[h], Words<J>::join(upper[h], before), mixed);
        store(raw + 4 * i + 64 * h, mixed[0]), store(raw + 4 * i + 64 * h + 32, mixed[1]);
      }
    }
    const uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, nullptr, planes[kKey] + i};
    const uint8_t* const short_tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, planes[kKey] + i};
    body.join(J ? tail : short_tail, n - i, base, raw + 4 * i);
  }
};

}  // namespace

extern const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1] = {
    {{BFloat16<0>::split, nullptr, BFloat16<0>::join},
     {BFloat16<1>::split, nullptr, BFloat16<1>::join},
     {BFloat16<2>::split, nullptr, BFloat16<2>::join}},
    {},
    {{Float32<0>::split, nullptr, Float32<0>::join},
     {Float32<1>::split, nullptr, Float32<1>::join},
     {Float32<2>::split, nullptr, Float32<2>::join}}};

}  // namespace mithril::avx2

#pragma GCC pop_options
#endif
