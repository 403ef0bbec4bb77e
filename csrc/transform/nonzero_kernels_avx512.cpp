// A register of components at a time, by compressing and expanding.
#include "csrc/base/simd.h"
#include "csrc/transform/nonzero_kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace mithril {

namespace scalar {
extern const NonzeroKernels kNonzeroKernels;
}

namespace avx512 {

namespace {

using V = __m512i;

struct Bytes1 {
  static constexpr size_t kWidth = 1, kIndex = 0;
  static uint64_t nonzero(V x) { return _mm512_test_epi8_mask(x, _mm512_set1_epi8(0x7f)); }
  static uint64_t signs(V x) { return _mm512_movepi8_mask(x); }
  static V compress(uint64_t m, V x) { return _mm512_maskz_compress_epi8(m, x); }
  static V expand(uint64_t m, V x) { return _mm512_maskz_expand_epi8(m, x); }
  static V minus_zeros(uint64_t m) { return _mm512_maskz_set1_epi8(m, -128); }
};
struct Bytes2 {
  static constexpr size_t kWidth = 2, kIndex = 1;
  static uint64_t nonzero(V x) { return _mm512_test_epi16_mask(x, _mm512_set1_epi16(0x7fff)); }
  static uint64_t signs(V x) { return _mm512_movepi16_mask(x); }
  static V compress(uint64_t m, V x) { return _mm512_maskz_compress_epi16(static_cast<__mmask32>(m), x); }
  static V expand(uint64_t m, V x) { return _mm512_maskz_expand_epi16(static_cast<__mmask32>(m), x); }
  static V minus_zeros(uint64_t m) { return _mm512_maskz_set1_epi16(static_cast<__mmask32>(m), -32768); }
};
struct Bytes4 {
  static constexpr size_t kWidth = 4, kIndex = 2;
  static uint64_t nonzero(V x) { return _mm512_test_epi32_mask(x, _mm512_set1_epi32(0x7fffffff)); }
  static uint64_t signs(V x) { return _mm512_cmplt_epi32_mask(x, _mm512_setzero_si512()); }
  static V compress(uint64_t m, V x) { return _mm512_maskz_compress_epi32(static_cast<__mmask16>(m), x); }
  static V expand(uint64_t m, V x) { return _mm512_maskz_expand_epi32(static_cast<__mmask16>(m), x); }
  static V minus_zeros(uint64_t m) { return _mm512_maskz_set1_epi32(static_cast<__mmask16>(m), INT32_MIN); }
};

template <class T>
size_t pick(const uint8_t* raw, size_t n, uint8_t* mask, uint8_t* out) noexcept {
  constexpr size_t kMany = 64 / T::kWidth;
  constexpr uint64_t kAll = kMany == 64 ? ~uint64_t{0} : (uint64_t{1} << kMany % 64) - 1;
  size_t picked = 0, i = 0;
  for (; i + kMany <= n; i += kMany) {
    V x = _mm512_loadu_si512(raw + i * T::kWidth);
    uint64_t other = T::nonzero(x), minus = T::signs(x) & ~other;
    V symbols = _mm512_mask_set1_epi8(_mm512_maskz_set1_epi8(other, 1), minus, 2);
    _mm512_mask_storeu_epi8(mask + i, kAll, symbols);
    _mm512_storeu_si512(out + picked * T::kWidth, T::compress(other, x));
    picked += static_cast<size_t>(__builtin_popcountll(other));
  }
  return picked +
         scalar::kNonzeroKernels.pick[T::kIndex](raw + i * T::kWidth, n - i, mask + i, out + picked * T::kWidth);
}

template <class T>
void spread(const uint8_t* nonzero, const uint8_t* mask, size_t n, uint8_t* raw) noexcept {
  constexpr size_t kMany = 64 / T::kWidth;
  constexpr uint64_t kAll = kMany == 64 ? ~uint64_t{0} : (uint64_t{1} << kMany % 64) - 1;
  size_t i = 0;
  for (; i + kMany <= n; i += kMany) {
    V symbols = _mm512_maskz_loadu_epi8(kAll, mask + i);
    uint64_t other = _mm512_cmpeq_epi8_mask(symbols, _mm512_set1_epi8(1));
    uint64_t minus = _mm512_cmpeq_epi8_mask(symbols, _mm512_set1_epi8(2));
    V x = _mm512_or_si512(T::expand(other, _mm512_loadu_si512(nonzero)), T::minus_zeros(minus));
    _mm512_storeu_si512(raw + i * T::kWidth, x);
    nonzero += T::kWidth * static_cast<size_t>(__builtin_popcountll(other));
  }
  scalar::kNonzeroKernels.spread[T::kIndex](nonzero, mask + i, n - i, raw + i * T::kWidth);
}

}  // namespace

extern const NonzeroKernels kNonzeroKernels;
const NonzeroKernels kNonzeroKernels = {{pick<Bytes1>, pick<Bytes2>, pick<Bytes4>, nullptr},
                                        {spread<Bytes1>, spread<Bytes2>, spread<Bytes4>, nullptr}};

}  // namespace avx512

}  // namespace mithril

#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
