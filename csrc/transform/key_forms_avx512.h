// Keys of 64 components at a time, in registers, for loops that do more with them: included under the target of such a
// file. A form says, for a float type and J bits of the mantissa in the key: the bytes of a component, how many planes
// of bytes there are between the first plane ("top") and the key, whether there is a plane key_high, and
//
//   split(raw, before, key, top, bytes, i, bad)   bad: something when a key lies outside of the window; then key is not
//                                                 what it ought to be
//   join(key, top, bytes, i, before, raw)
//
// where the planes of bytes are at bytes[k] + i, and `before` is the window's base and 1, in words.
#pragma once
#include "csrc/base/simd_avx512.h"

namespace mithril::avx512 {

namespace {

// The even or odd bytes, or words, of two registers; and the bytes of two registers interleaved, in order or so that
// words are in order when two registers of them are interleaved by unpacking.
struct Shuffles {
  alignas(64) uint8_t even_bytes[64] = {}, odd_bytes[64] = {}, mix_bytes[2][64] = {}, mix_pairs[2][64] = {};
  alignas(64) uint16_t even_words[32] = {}, odd_words[32] = {};
  constexpr Shuffles() {
    for (unsigned i = 0; i < 64; i++) {
      even_bytes[i] = static_cast<uint8_t>(2 * i), odd_bytes[i] = static_cast<uint8_t>(2 * i + 1);
      for (unsigned h = 0; h < 2; h++) {
        mix_bytes[h][i] = static_cast<uint8_t>(32 * h + i / 2 + i % 2 * 64);
        unsigned lane = i / 16, word = i % 16 / 2;
        mix_pairs[h][i] = static_cast<uint8_t>(32 * h + word / 4 * 16 + 4 * lane + word % 4 + i % 2 * 64);
      }
    }
    for (unsigned i = 0; i < 32; i++) {
      even_words[i] = static_cast<uint16_t>(2 * i), odd_words[i] = static_cast<uint16_t>(2 * i + 1);
    }
  }
};
constexpr Shuffles kShuffles;

inline V pick(V a, const uint8_t (&bytes)[64], V b) { return _mm512_permutex2var_epi8(a, load(bytes), b); }
inline V pick(V a, const uint16_t (&words)[32], V b) {
  return _mm512_permutex2var_epi16(a, _mm512_loadu_si512(words), b);
}

using Bad = uint64_t;
inline bool is_bad(Bad bad) { return bad != 0; }
inline Bad bad_bits(V v, V bits) { return _mm512_test_epi8_mask(v, bits); }

// Sign, 8 exponent bits and 7 mantissa bits in words: a bfloat16, or the upper half of a float32.
template <uint32_t J>
struct Words {
  static constexpr uint32_t kShift = 7 - J, kKeyBits = 8 + J;

  // Bytes of key and rest in words.
  static void split(V x, V before, V& key, V& rest, Bad& bad) {
    // Mantissa bits as they are, the sign above them.
    rest = _mm512_ternarylogic_epi32(words_of((1 << kShift) - 1), x, _mm512_srli_epi16(x, 8 + J), 0xca);
    V t = _mm512_and_si512(_mm512_srli_epi16(x, kShift), words_of((1 << kKeyBits) - 1));
    if constexpr (J == 0) {
      key = t;
    } else {
      V v = _mm512_sub_epi16(t, before);
      __mmask32 zero = _mm512_testn_epi16_mask(t, t);
      key = _mm512_mask_mov_epi16(v, zero, words_of(255));
      bad |= _mm512_mask_cmpge_epu16_mask(~zero, v, words_of(255));
    }
  }
  // From words of rest and, in the upper byte, key.
  static V join(V w, V before) {
    V t = _mm512_srli_epi16(w, 8);
    if constexpr (J == 0)
      t = _mm512_slli_epi16(t, kShift);
    else
      t = _mm512_maskz_slli_epi16(_mm512_cmplt_epu16_mask(w, words_of(0xff00)), _mm512_add_epi16(t, before), kShift);
    V y = _mm512_ternarylogic_epi32(t, w, words_of((1 << kShift) - 1), 0xf8);  // t | (w & mask)
    return _mm512_ternarylogic_epi32(words_of(0x8000), _mm512_slli_epi16(w, 8 + J), y, 0xca);
  }
};

template <uint32_t J>
struct BFloat16 {
  static constexpr size_t kBytesWide = 2, kBytes = 0, kHigh = J > 0;

  static void split(const uint8_t* raw, V before, V& key, V& top, uint8_t* const*, size_t, Bad& bad) {
    V keys[2], rest[2];
    for (int h = 0; h < 2; h++) Words<J>::split(load(raw + 64 * h), before, keys[h], rest[h], bad);
    key = pick(keys[0], kShuffles.even_bytes, keys[1]), top = pick(rest[0], kShuffles.even_bytes, rest[1]);
  }
  static void join(V key, V top, const uint8_t* const*, size_t, V before, uint8_t* raw) {
    for (int h = 0; h < 2; h++) store(raw + 64 * h, Words<J>::join(pick(top, kShuffles.mix_bytes[h], key), before));
  }
};

template <uint32_t J>
struct Float32 {
  static constexpr size_t kBytesWide = 4, kBytes = 2, kHigh = J > 0;

  static void split(const uint8_t* raw, V before, V& key, V& top, uint8_t* const* bytes, size_t i, Bad& bad) {
    V keys[2], rest[2], low[2];
    for (int h = 0; h < 2; h++) {
      V a = load(raw + 128 * h), b = load(raw + 128 * h + 64);
      low[h] = pick(a, kShuffles.even_words, b);
      Words<J>::split(pick(a, kShuffles.odd_words, b), before, keys[h], rest[h], bad);
    }
    key = pick(keys[0], kShuffles.even_bytes, keys[1]), top = pick(rest[0], kShuffles.even_bytes, rest[1]);
    store(bytes[0] + i, pick(low[0], kShuffles.odd_bytes, low[1]));
    store(bytes[1] + i, pick(low[0], kShuffles.even_bytes, low[1]));
  }
  static void join(V key, V top, const uint8_t* const* bytes, size_t i, V before, uint8_t* raw) {
    V high = load(bytes[0] + i), low = load(bytes[1] + i);
    for (int h = 0; h < 2; h++) {
      V upper = Words<J>::join(pick(top, kShuffles.mix_pairs[h], key), before);
      V lower = pick(low, kShuffles.mix_pairs[h], high);
      store(raw + 128 * h, _mm512_unpacklo_epi16(lower, upper));
      store(raw + 128 * h + 64, _mm512_unpackhi_epi16(lower, upper));
    }
  }
};

// Two bits of the mantissa in the key leave the sign and a byte.
struct Float16 {
  static constexpr size_t kBytesWide = 2, kBytes = 1, kHigh = 0;

  static void split(const uint8_t* raw, V, V& key, V& top, uint8_t* const* bytes, size_t i, Bad&) {
    V a = load(raw), b = load(raw + 64), high = pick(a, kShuffles.odd_bytes, b);
    key = _mm512_and_si512(high, bytes_of(0x7f));
    top = _mm512_and_si512(_mm512_srli_epi16(high, 7), bytes_of(1));
    store(bytes[0] + i, pick(a, kShuffles.even_bytes, b));
  }
  static void join(V key, V top, const uint8_t* const* bytes, size_t i, V, uint8_t* raw) {
    V high = _mm512_or_si512(key, _mm512_slli_epi16(top, 7)), low = load(bytes[0] + i);
    for (int h = 0; h < 2; h++) store(raw + 64 * h, pick(low, kShuffles.mix_bytes[h], high));
  }
};

// Of a float of 8 bits with M bits of mantissa, two are in the key.
template <uint32_t M>
struct Float8 {
  static constexpr size_t kBytesWide = 1, kBytes = 0, kHigh = 0;
  static constexpr uint32_t kRest = M - 2, kRestMask = (1 << kRest) - 1;

  static void split(const uint8_t* raw, V, V& key, V& top, uint8_t* const*, size_t, Bad&) {
    V x = load(raw), sign = _mm512_and_si512(_mm512_srli_epi16(x, 7 - kRest), bytes_of(1 << kRest));
    key = _mm512_and_si512(_mm512_srli_epi16(x, kRest), bytes_of(0x7f >> kRest));
    top = _mm512_ternarylogic_epi32(bytes_of(kRestMask), x, sign, 0xea);  // mask & x | sign
  }
  static void join(V key, V top, const uint8_t* const*, size_t, V, uint8_t* raw) {
    V sign = _mm512_and_si512(_mm512_slli_epi16(top, 7 - kRest), bytes_of(0x80));
    V x = _mm512_or_si512(_mm512_slli_epi16(key, kRest), sign);
    store(raw, _mm512_ternarylogic_epi32(bytes_of(kRestMask), top, x, 0xea));
  }
};

}  // namespace

}  // namespace mithril::avx512
