// What the AVX-512 kernels share; included under their target.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace mithril::avx512 {

namespace {

using V = __m512i;
constexpr size_t kWidth = 64;

inline V load(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void store(uint8_t* p, V v) { _mm512_storeu_si512(p, v); }
// 64 bytes to a multiple of 64, past the caches.
inline void stream(uint8_t* to, const uint8_t* from) { _mm512_stream_si512(reinterpret_cast<V*>(to), load(from)); }
inline V bytes_of(uint32_t b) { return _mm512_set1_epi8(static_cast<char>(b)); }
inline V words_of(uint32_t w) { return _mm512_set1_epi16(static_cast<short>(w)); }

}  // namespace

}  // namespace mithril::avx512
