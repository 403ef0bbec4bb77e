#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/bits_shuffles.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi")
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "csrc/base/simd_avx512.h"
#include "csrc/coder/bits_rows_avx512.h"

namespace mithril {

namespace scalar {
extern const BitsKernels kBitsKernels;
}

namespace avx512 {

namespace {

void pack(const uint8_t* symbols, size_t groups, uint32_t bits, uint8_t* out) noexcept {
  const PackBits packed(bits);
  for (; groups >= 8; groups -= 8, symbols += 64, out += 8 * bits) {
    V x = packed(load(symbols));
    // A store reaches over the next groups, which are written after it; the less, the better.
    if (bits <= 2 && groups * bits >= 16)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_castsi512_si128(x));
    else if (bits <= 4 && groups * bits >= 32)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(x));
    else if (groups * bits >= 64)
      store(out, x);
    else
      _mm512_mask_storeu_epi8(out, (__mmask64{1} << 8 * bits) - 1, x);
  }
  scalar::kBitsKernels.pack(symbols, groups, bits, out);
}

void unpack(const uint8_t* packed, size_t groups, uint32_t bits, uint8_t* symbols) noexcept {
  const UnpackBits unpacked(bits);
  const __mmask64 bytes = (__mmask64{1} << 8 * bits) - 1;
  for (; groups >= 8; groups -= 8, packed += 8 * bits, symbols += 64)
    store(symbols, unpacked(groups * bits >= 64 ? load(packed) : _mm512_maskz_loadu_epi8(bytes, packed)));
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
