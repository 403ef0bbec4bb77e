#include "csrc/base/simd.h"
#include "csrc/coder/rans_kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,popcnt")
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include "csrc/coder/rans_rows_avx512.h"

#define MITHRIL_ISA_NAMESPACE avx512
#include "csrc/coder/rans_kernels_shuffled.h"

namespace mithril::avx512 {

namespace {

void encode_classes(const RansClasses& classes, uint32_t lanes, const uint8_t* symbols, const uint8_t* context,
                    size_t rows, RansEncoder& encoder) noexcept {
  const EncodeClasses lookup(classes);
  if (lanes == 64)
    encode_rows<1>(lookup, context, rows, encoder, FromMemory{symbols});
  else
    encode_rows<2>(lookup, context, rows, encoder, FromMemory{symbols});
}

size_t decode_classes(const RansClasses& classes, uint32_t lanes, uint8_t* symbols, const uint8_t* context, size_t rows,
                      RansDecoder& decoder) noexcept {
  const DecodeClasses lookup(classes);
  return lanes == 64 ? decode_rows<1>(lookup, context, rows, decoder, ToMemory{symbols})
                     : decode_rows<2>(lookup, context, rows, decoder, ToMemory{symbols});
}

}  // namespace

extern const RansKernels kRansKernels;
const RansKernels kRansKernels = {encode, decode, encode_classes, decode_classes};

}  // namespace mithril::avx512

#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
