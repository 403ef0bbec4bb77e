#include "csrc/base/simd.h"
#include "csrc/codec/key_rows.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,popcnt")
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "csrc/coder/bits_shuffles.h"
#include "csrc/coder/rans_rows_avx512.h"
#include "csrc/transform/key_forms_avx512.h"

namespace mithril::avx512 {

namespace {

template <class Form>
struct Source {
  const uint8_t *raw, *next;
  uint8_t* const* planes;
  uint32_t bits;
  V before = {};
  V close, pairs, fours, low, unused;
  __m128i shift;
  __mmask64 bytes;

  Source(const uint8_t* from, const uint8_t* then, uint8_t* const* to, uint32_t top_bits, uint32_t base)
      : raw(from), next(then), planes(to), bits(top_bits), before(words_of(base + 1)) {
    close = load(kBitsShuffles.pack[bits]);
    pairs = words_of(1 | 1u << (8 + bits)), fours = _mm512_set1_epi32(1 | 1 << (16 + 2 * bits));
    low = _mm512_set1_epi64((int64_t{1} << 4 * bits) - 1), unused = bytes_of(0xffu << bits & 0xff);
    shift = _mm_cvtsi32_si128(static_cast<int>(32 - 4 * bits));
    bytes = (__mmask64{1} << 8 * bits) - 1;
  }

  template <size_t Groups>
  bool operator()(size_t at, V (&row)[Groups]) const {
    uint64_t bad = 0;
    V top[Groups];
    for (size_t g = 0; g < Groups; g++) {
      size_t i = at + 64 * g;
      for (size_t k = 0; k < Form::kWidth; k++) _mm_prefetch(next + Form::kWidth * i + 64 * k, _MM_HINT_T1);
      bad |= Form::split(raw + Form::kWidth * i, before, row[g], top[g], planes + 1, i);
      bad |= _mm512_test_epi8_mask(top[g], unused);
    }
    if (bad) return false;
    for (size_t g = 0; g < Groups; g++) put(at + 64 * g, top[g]);
    return true;
  }
  // See pack() in bits_kernels_avx512.cpp.
  void put(size_t i, V top) const {
    V x = _mm512_madd_epi16(_mm512_maddubs_epi16(pairs, top), fours);
    x = _mm512_or_si512(_mm512_and_si512(x, low), _mm512_andnot_si512(low, _mm512_srl_epi64(x, shift)));
    _mm512_mask_storeu_epi8(planes[0] + i / 8 * bits, bytes, _mm512_permutexvar_epi8(close, x));
  }
};

template <class Form>
struct Sink {
  const uint8_t* const* planes;
  uint8_t* raw;
  uint32_t bits;
  V before, open, shifts, mask;

  Sink(const uint8_t* const* from, uint8_t* to, uint32_t top_bits, uint32_t base)
      : planes(from), raw(to), bits(top_bits), before(words_of(base + 1)) {
    open = load(kBitsShuffles.eight[bits]), shifts = load(kBitsShuffles.shift[bits]);
    mask = bytes_of((1u << bits) - 1);
  }

  void operator()(size_t at, V key) const {
    V top = _mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi8(open, load(planes[0] + at / 8 * bits)));
    Form::join(key, _mm512_and_si512(top, mask), planes + 1, at, before, raw + Form::kWidth * at);
  }
};

template <class Form>
constexpr KeyRowKernels rows_of() {
  return {[](const RansTable& table, uint32_t lanes, uint32_t top_bits, uint32_t base, const uint8_t* raw,
             const uint8_t* next, size_t rows, uint8_t* const* planes, RansEncoder& encoder) noexcept {
            return encode_with(table, lanes, rows, encoder, Source<Form>(raw, next, planes, top_bits, base));
          },
          [](const RansTable& table, uint32_t lanes, uint32_t top_bits, uint32_t base, const uint8_t* const* planes,
             size_t rows, uint8_t* raw, RansDecoder& decoder) noexcept {
            return decode_with(table, lanes, rows, decoder, Sink<Form>(planes, raw, top_bits, base));
          }};
}

}  // namespace

extern const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1] = {
    {{}, rows_of<BFloat16<1>>(), rows_of<BFloat16<2>>()},
    {{}, {}, rows_of<Float16>()},
    {{}, rows_of<Float32<1>>(), rows_of<Float32<2>>()},
    {},
    {{}, {}, rows_of<Float8<3>>()},
    {{}, {}, rows_of<Float8<2>>()}};

}  // namespace mithril::avx512

#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
