#include "csrc/base/simd.h"
#include "csrc/coder/rans_kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2,popcnt")
#include "csrc/coder/rans_rows_avx2.h"
#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/coder/rans_kernels_shuffled.h"

namespace mithril {

namespace scalar {
void encode_classes(const RansClasses&, uint32_t, const uint8_t*, const uint8_t*, size_t, RansEncoder&) noexcept;
size_t decode_classes(const RansClasses&, uint32_t, uint8_t*, const uint8_t*, size_t, RansDecoder&) noexcept;
}  // namespace scalar

namespace avx2 {
extern const RansKernels kRansKernels;
const RansKernels kRansKernels = {encode, decode, scalar::encode_classes, scalar::decode_classes};
}  // namespace avx2

}  // namespace mithril
#pragma GCC pop_options
#endif
