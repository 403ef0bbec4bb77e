#include "csrc/base/simd.h"
#include "csrc/coder/rans_kernels.h"
#ifdef MITHRIL_SIMD
namespace mithril::scalar {
extern const RansKernels kRansKernels;
}
namespace mithril::avx2 {
extern const RansKernels kRansKernels;
const RansKernels kRansKernels = scalar::kRansKernels;
}  // namespace mithril::avx2
#endif
