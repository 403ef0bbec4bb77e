#include "csrc/dedup/kernels.h"

#include "csrc/base/simd.h"

namespace mithril::dedup {

namespace scalar {
extern const Kernels kKernels;
}
#ifdef MITHRIL_SIMD
namespace ssse3 {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

const Kernels& kernels(Isa isa) {
#ifdef MITHRIL_SIMD
  if (isa == Isa::kAvx512) return avx512::kKernels;
  if (isa == Isa::kAvx2) return avx2::kKernels;
  if (isa == Isa::kSsse3) return ssse3::kKernels;
#endif
  static_cast<void>(isa);
  return scalar::kKernels;
}

}  // namespace mithril::dedup
