// Rows of rans with SSSE3: see rans_rows_narrow.h. Included under the target.
#pragma once
#include "csrc/base/simd_ssse3.h"
#include "csrc/coder/rans_kernels.h"
#include "csrc/coder/rans_shuffles.h"

namespace mithril::ssse3 {

namespace {

inline V load8(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }

inline uint8_t* put8_before(uint8_t* p, uint32_t m, V v) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p - 8), _mm_shuffle_epi8(v, load8(kRansShuffles.pack[m])));
  return p - kRansShuffles.count[m];
}

// The bytes of v that m names, in front of p; those below, down to p - 16, are not written yet.
inline uint8_t* put_before(uint8_t* p, uint32_t m, V v) {
  p = put8_before(p, m >> 8, _mm_srli_si128(v, 8));
  return put8_before(p, m & 255, v);
}

inline V take8(const uint8_t*& p, uint32_t m) {
  V v = _mm_shuffle_epi8(load8(p), load8(kRansShuffles.spread[m]));
  p += kRansShuffles.count[m];
  return v;
}

// The next bytes from p on, at the places that m names; zero elsewhere.
inline V take(const uint8_t*& p, uint32_t m) {
  V a = take8(p, m & 255), b = take8(p, m >> 8);
  return _mm_unpacklo_epi64(a, b);
}

}  // namespace

}  // namespace mithril::ssse3

#define MITHRIL_ISA_NAMESPACE ssse3
#include "csrc/coder/rans_rows_narrow.h"
#undef MITHRIL_ISA_NAMESPACE
