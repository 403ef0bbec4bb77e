#include "csrc/codec/key_rows.h"

#include "csrc/base/simd.h"

namespace mithril {

#ifdef MITHRIL_SIMD
namespace ssse3 {
extern const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
}
namespace avx2 {
extern const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
}
namespace avx512 {
extern const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
}
#endif

KeyRowKernels key_row_kernels(Isa isa, KeyLayout layout, uint32_t joined) {
#ifdef MITHRIL_SIMD
  const size_t k = static_cast<size_t>(layout);
  if (isa == Isa::kAvx512) return avx512::kKeyRows[k][joined];
  if (isa == Isa::kAvx2) return avx2::kKeyRows[k][joined];
  if (isa == Isa::kSsse3) return ssse3::kKeyRows[k][joined];
#endif
  static_cast<void>(isa), static_cast<void>(layout), static_cast<void>(joined);
  return {};
}

}  // namespace mithril
