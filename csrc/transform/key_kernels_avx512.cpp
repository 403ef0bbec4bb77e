// Keys of bfloat16, float32 and float16, 64 components at a time. What kernels_body.h says, with shuffles that the
// compiler does not find: twice as fast. Components whose key lies outside of the window, and tails, are left to it.
#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi")
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace mithril::avx512 {

extern const Kernels kKernels;

namespace {

using V = __m512i;

inline V load(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void store(uint8_t* p, V v) { _mm512_storeu_si512(p, v); }
inline V words(uint32_t w) { return _mm512_set1_epi16(static_cast<short>(w)); }

template <class T, class F>
inline V indices(F f) {
  alignas(64) T of[64 / sizeof(T)];
  for (uint32_t i = 0; i < 64 / sizeof(T); i++) of[i] = static_cast<T>(f(i));
  return _mm512_load_si512(of);
}

// The even or odd bytes, or words, of two registers; and two registers interleaved.
struct Shuffles {
  Shuffles() noexcept {}
  V even_bytes = indices<uint8_t>([](uint32_t i) { return 2 * i; });
  V odd_bytes = indices<uint8_t>([](uint32_t i) { return 2 * i + 1; });
  V even_words = indices<uint16_t>([](uint32_t i) { return 2 * i; });
  V odd_words = indices<uint16_t>([](uint32_t i) { return 2 * i + 1; });
  V mix_bytes[2] = {indices<uint8_t>([](uint32_t i) { return i / 2 + i % 2 * 64; }),
                    indices<uint8_t>([](uint32_t i) { return 32 + i / 2 + i % 2 * 64; })};
  V mix_words[2] = {indices<uint16_t>([](uint32_t i) { return i / 2 + i % 2 * 32; }),
                    indices<uint16_t>([](uint32_t i) { return 16 + i / 2 + i % 2 * 32; })};
};

// Sign, 8 exponent bits and 7 mantissa bits in words: a bfloat16, or the upper half of a float32.
template <uint32_t J>
struct Words {
  static constexpr uint32_t kShift = 7 - J, kKeyBits = 8 + J;

  // Bytes of key and rest in words; `bad` gathers keys outside of the window.
  static void split(V x, V before, V& key, V& rest, __mmask32& bad) {
    V t = _mm512_and_si512(_mm512_srli_epi16(x, kShift), words((1 << kKeyBits) - 1));
    if constexpr (J == 0) {
      key = t;
    } else {
      V v = _mm512_sub_epi16(t, before);
      __mmask32 zero = _mm512_testn_epi16_mask(t, t);
      bad |= _mm512_cmpge_epu16_mask(v, words(255)) & ~zero;
      key = _mm512_mask_mov_epi16(v, zero, words(255));
    }
    // Mantissa bits as they are, the sign above them.
    rest = _mm512_ternarylogic_epi32(words((1 << kShift) - 1), x, _mm512_srli_epi16(x, 8 + J), 0xca);
  }
  // From words of rest and, in the upper byte, key.
  static V join(V w, V before) {
    V t = _mm512_srli_epi16(w, 8);
    if constexpr (J == 0)
      t = _mm512_slli_epi16(t, kShift);
    else
      t = _mm512_maskz_slli_epi16(_mm512_cmplt_epu16_mask(w, words(0xff00)), _mm512_add_epi16(t, before), kShift);
    V y = _mm512_ternarylogic_epi32(t, w, words((1 << kShift) - 1), 0xf8);  // t | (w & mask)
    return _mm512_ternarylogic_epi32(words(0x8000), _mm512_slli_epi16(w, 8 + J), y, 0xca);
  }
};

template <uint32_t J>
struct BFloat16 {
  static constexpr uint32_t kKey = J ? 2 : 1;  // planes: rest, key_high when J > 0, key

  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    const Shuffles s;
    const V before = words(base + 1);
    __mmask32 bad = 0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      V key[2], rest[2];
      for (int h = 0; h < 2; h++) Words<J>::split(load(raw + 2 * i + 64 * h), before, key[h], rest[h], bad);
      store(planes[kKey] + i, _mm512_permutex2var_epi8(key[0], s.even_bytes, key[1]));
      store(planes[0] + i, _mm512_permutex2var_epi8(rest[0], s.even_bytes, rest[1]));
    }
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kBFloat16)][J];
    if (bad) return body.split(raw, n, base, planes);
    uint8_t* const tail[] = {planes[0] + i, nullptr, planes[kKey] + i};
    uint8_t* const short_tail[] = {planes[0] + i, planes[kKey] + i};
    return body.split(raw + 2 * i, n - i, base, J ? tail : short_tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kBFloat16)][J];
    if (J && planes[1]) return body.join(planes, n, base, raw);
    const Shuffles s;
    const V before = words(base + 1);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      V rest = load(planes[0] + i), key = load(planes[kKey] + i);
      for (int h = 0; h < 2; h++)
        store(raw + 2 * i + 64 * h, Words<J>::join(_mm512_permutex2var_epi8(rest, s.mix_bytes[h], key), before));
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
    const Shuffles s;
    const V before = words(base + 1);
    __mmask32 bad = 0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      V key[2], rest[2], low[2];
      for (int h = 0; h < 2; h++) {
        V a = load(raw + 4 * i + 128 * h), b = load(raw + 4 * i + 128 * h + 64);
        low[h] = _mm512_permutex2var_epi16(a, s.even_words, b);
        Words<J>::split(_mm512_permutex2var_epi16(a, s.odd_words, b), before, key[h], rest[h], bad);
      }
      store(planes[kKey] + i, _mm512_permutex2var_epi8(key[0], s.even_bytes, key[1]));
      store(planes[0] + i, _mm512_permutex2var_epi8(rest[0], s.even_bytes, rest[1]));
      store(planes[1] + i, _mm512_permutex2var_epi8(low[0], s.odd_bytes, low[1]));
      store(planes[2] + i, _mm512_permutex2var_epi8(low[0], s.even_bytes, low[1]));
    }
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kFloat32)][J];
    if (bad) return body.split(raw, n, base, planes);
    uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, nullptr, planes[kKey] + i};
    uint8_t* const short_tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, planes[kKey] + i};
    return body.split(raw + 4 * i, n - i, base, J ? tail : short_tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kFloat32)][J];
    if (J && planes[3]) return body.join(planes, n, base, raw);
    const Shuffles s;
    const V before = words(base + 1);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      V rest = load(planes[0] + i), key = load(planes[kKey] + i), p1 = load(planes[1] + i), p0 = load(planes[2] + i);
      for (int h = 0; h < 2; h++) {
        V upper = Words<J>::join(_mm512_permutex2var_epi8(rest, s.mix_bytes[h], key), before);
        V lower = _mm512_permutex2var_epi8(p0, s.mix_bytes[h], p1);
        for (int q = 0; q < 2; q++)
          store(raw + 4 * i + 128 * h + 64 * q, _mm512_permutex2var_epi16(lower, s.mix_words[q], upper));
      }
    }
    const uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, nullptr, planes[kKey] + i};
    const uint8_t* const short_tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, planes[kKey] + i};
    body.join(J ? tail : short_tail, n - i, base, raw + 4 * i);
  }
};

// Two bits of the mantissa in the key leave the sign and a byte: planes sign, byte, key.
struct Float16 {
  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    const Shuffles s;
    const V key_mask = _mm512_set1_epi8(0x7f), one = _mm512_set1_epi8(1);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      V a = load(raw + 2 * i), b = load(raw + 2 * i + 64), high = _mm512_permutex2var_epi8(a, s.odd_bytes, b);
      store(planes[1] + i, _mm512_permutex2var_epi8(a, s.even_bytes, b));
      store(planes[2] + i, _mm512_and_si512(high, key_mask));
      store(planes[0] + i, _mm512_maskz_mov_epi8(_mm512_movepi8_mask(high), one));
    }
    uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    return kKernels.keys[static_cast<size_t>(KeyLayout::kFloat16)][2].split(raw + 2 * i, n - i, base, tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    const Shuffles s;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      V sign = load(planes[0] + i), byte = load(planes[1] + i), key = load(planes[2] + i);
      V high = _mm512_or_si512(key, _mm512_and_si512(_mm512_slli_epi16(sign, 7), _mm512_set1_epi8(-128)));
      for (int h = 0; h < 2; h++) store(raw + 2 * i + 64 * h, _mm512_permutex2var_epi8(byte, s.mix_bytes[h], high));
    }
    const uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    kKernels.keys[static_cast<size_t>(KeyLayout::kFloat16)][2].join(tail, n - i, base, raw + 2 * i);
  }
};

}  // namespace

extern const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1] = {
    {{BFloat16<0>::split, nullptr, BFloat16<0>::join},
     {BFloat16<1>::split, nullptr, BFloat16<1>::join},
     {BFloat16<2>::split, nullptr, BFloat16<2>::join}},
    {{}, {}, {Float16::split, nullptr, Float16::join}},
    {{Float32<0>::split, nullptr, Float32<0>::join},
     {Float32<1>::split, nullptr, Float32<1>::join},
     {Float32<2>::split, nullptr, Float32<2>::join}}};

}  // namespace mithril::avx512

#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
