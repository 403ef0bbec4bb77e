// 32 symbols in a register, eight to an integer; a shuffle closes the gaps between the packed ones, or opens them.
#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2")
#include <immintrin.h>

namespace mithril {

namespace scalar {
extern const BitsKernels kBitsKernels;
}

namespace avx2 {

namespace {

using V = __m256i;

// Eight bytes of b bits in each integer: pairs, fours, all; and back.
struct Steps {
  __m128i by[3];
  V mask[3];
  explicit Steps(uint32_t bits) {
    for (uint32_t k = 0; k < 3; k++) {
      uint32_t lanes = 8u << k, used = bits << k;  // values of `used` bits in lanes of 8, 16, 32 bits
      by[k] = _mm_cvtsi32_si128(static_cast<int>(lanes - used));
      uint64_t ones = (uint64_t{1} << used) - 1, all = 0;
      for (uint32_t at = 0; at < 64; at += 2 * lanes) all |= ones << at;
      mask[k] = _mm256_set1_epi64x(static_cast<int64_t>(all));
    }
  }
  V close(V x) const {
    for (int k = 0; k < 3; k++) {
      V upper = _mm256_srl_epi64(_mm256_andnot_si256(_mm256_set1_epi64x(low_half(k)), x), by[k]);
      x = _mm256_or_si256(_mm256_and_si256(x, mask[k]), upper);
    }
    return x;
  }
  V open(V x) const {
    for (int k = 2; k >= 0; k--) {
      V upper = _mm256_andnot_si256(_mm256_set1_epi64x(low_half(k)),
                                    _mm256_sll_epi64(_mm256_andnot_si256(mask[k], x), by[k]));
      x = _mm256_or_si256(_mm256_and_si256(x, mask[k]), upper);
    }
    return x;
  }

 private:
  static int64_t low_half(int k) {
    return k == 0 ? 0x00ff00ff00ff00ff : k == 1 ? 0x0000ffff0000ffff : 0x00000000ffffffff;
  }
};

void pack(const uint8_t* symbols, size_t groups, uint32_t bits, uint8_t* out) noexcept {
  const Steps steps(bits);
  alignas(16) uint8_t places[16];
  for (uint32_t j = 0; j < 16; j++) places[j] = static_cast<uint8_t>(j < 2 * bits ? j / bits * 8 + j % bits : 0x80);
  const V gather = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(places)));
  // A store reaches over the next groups, which are written after it.
  for (; groups >= 4 && groups * bits >= 2 * bits + 16; groups -= 4, symbols += 32, out += 4 * bits) {
    V x = steps.close(_mm256_loadu_si256(reinterpret_cast<const V*>(symbols)));
    x = _mm256_shuffle_epi8(x, gather);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(x));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * bits), _mm256_extracti128_si256(x, 1));
  }
  scalar::kBitsKernels.pack(symbols, groups, bits, out);
}

void unpack(const uint8_t* packed, size_t groups, uint32_t bits, uint8_t* symbols) noexcept {
  const Steps steps(bits);
  alignas(16) uint8_t places[16];
  for (uint32_t i = 0; i < 16; i++) places[i] = static_cast<uint8_t>(i % 8 < bits ? i / 8 * bits + i % 8 : 0x80);
  const V spread = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(places)));
  for (; groups >= 4 && groups * bits >= 2 * bits + 16; groups -= 4, packed += 4 * bits, symbols += 32) {
    __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed));
    __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + 2 * bits));
    V x = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
    _mm256_storeu_si256(reinterpret_cast<V*>(symbols), steps.open(x));
  }
  scalar::kBitsKernels.unpack(packed, groups, bits, symbols);
}

}  // namespace

extern const BitsKernels kBitsKernels;
const BitsKernels kBitsKernels = {pack, unpack};

}  // namespace avx2

}  // namespace mithril
#pragma GCC pop_options
#endif
