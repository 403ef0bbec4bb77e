#include "csrc/codec/key_rows.h"

#include "csrc/base/simd.h"

namespace mithril {

#ifdef MITHRIL_SIMD
namespace avx512 {
extern const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
}
#endif

KeyRowKernels key_row_kernels(Isa isa, KeyLayout layout, uint32_t joined) {
#ifdef MITHRIL_SIMD
  if (isa == Isa::kAvx512) return avx512::kKeyRows[static_cast<size_t>(layout)][joined];
#endif
  static_cast<void>(isa), static_cast<void>(layout), static_cast<void>(joined);
  return {};
}

}  // namespace mithril
