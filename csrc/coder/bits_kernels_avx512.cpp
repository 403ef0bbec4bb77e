// 64 symbols in a register. Eight of them become 8b bits by products and shifts; a shuffle closes the gaps.
#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/bits_shuffles.h"
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

namespace mithril {

namespace scalar {
extern const BitsKernels kBitsKernels;
}

namespace avx512 {

namespace {

using V = __m512i;

void pack(const uint8_t* symbols, size_t groups, uint32_t bits, uint8_t* out) noexcept {
  const V close = _mm512_load_si512(kBitsShuffles.pack[bits]);
  const V pairs = _mm512_set1_epi16(static_cast<short>(1 | 1 << (8 + bits)));
  const V fours = _mm512_set1_epi32(1 | 1 << (16 + 2 * bits));
  const V low = _mm512_set1_epi64((int64_t{1} << 4 * bits) - 1);
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(32 - 4 * bits));
  for (; groups >= 8; groups -= 8, symbols += 64, out += 8 * bits) {
    V x = _mm512_maddubs_epi16(pairs, _mm512_loadu_si512(symbols));  // symbols are below 128, the factors unsigned
    x = _mm512_madd_epi16(x, fours);
    x = _mm512_or_si512(_mm512_and_si512(x, low), _mm512_andnot_si512(low, _mm512_srl_epi64(x, shift)));
    x = _mm512_permutexvar_epi8(close, x);
    // A store reaches over the next groups, which are written after it; the less, the better.
    if (bits <= 2 && groups * bits >= 16)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_castsi512_si128(x));
    else if (bits <= 4 && groups * bits >= 32)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(x));
    else if (groups * bits >= 64)
      _mm512_storeu_si512(out, x);
    else
      _mm512_mask_storeu_epi8(out, (__mmask64{1} << 8 * bits) - 1, x);
  }
  scalar::kBitsKernels.pack(symbols, groups, bits, out);
}

void unpack(const uint8_t* packed, size_t groups, uint32_t bits, uint8_t* symbols) noexcept {
  // Of eight symbols, the eight bytes from that of the first on; then the bits of each.
  const V open = _mm512_load_si512(kBitsShuffles.eight[bits]), shifts = _mm512_load_si512(kBitsShuffles.shift[bits]);
  const V mask = _mm512_set1_epi8(static_cast<char>((1 << bits) - 1));
  for (; groups >= 8; groups -= 8, packed += 8 * bits, symbols += 64) {
    V x = groups * bits >= 64 ? _mm512_loadu_si512(packed)
                              : _mm512_maskz_loadu_epi8((__mmask64{1} << 8 * bits) - 1, packed);
    x = _mm512_permutexvar_epi8(open, x);
    _mm512_storeu_si512(symbols, _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, x), mask));
  }
  scalar::kBitsKernels.unpack(packed, groups, bits, symbols);
}

}  // namespace

extern const BitsKernels kBitsKernels;
const BitsKernels kBitsKernels = {pack, unpack};

}  // namespace avx512

}  // namespace mithril
#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
