#include "csrc/transform/transform.h"

#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"

namespace mithril {

namespace scalar {
extern const Kernels kKernels;
}
#ifdef MITHRIL_SIMD
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
#endif
  static_cast<void>(isa);
  return scalar::kKernels;
}

PlaneList planes_of(Transform transform, const DTypeInfo& dtype) {
  PlaneList planes;
  uint32_t e = dtype.exponent_bits, m = dtype.mantissa_bits;
  switch (transform) {
    case Transform::kIdentity: planes.add(8 * dtype.element_bytes); break;
    case Transform::kBytePlanes:
      if (dtype.component_bytes > 1)
        for (uint32_t k = 0; k < dtype.component_bytes; k++) planes.add(8);
      break;
    case Transform::kFloatFields:
      if (e == 0) break;
      planes.add(e < 8 ? e : 8);
      if (e > 8) planes.add(e - 8);
      planes.add(m % 8 + 1);
      for (uint32_t k = 0; k < m / 8; k++) planes.add(8);
      break;
  }
  return planes;
}

static Layout layout_of(Transform transform, const DTypeInfo& dtype) {
  if (transform == Transform::kBytePlanes)
    return dtype.component_bytes == 2   ? Layout::kBytes2
           : dtype.component_bytes == 4 ? Layout::kBytes4
                                        : Layout::kBytes8;
  switch (dtype.component_bytes) {
    case 8: return Layout::kFloat64;
    case 4: return Layout::kFloat32;
    case 2: return dtype.exponent_bits == 8 ? Layout::kBFloat16 : Layout::kFloat16;
    default: return dtype.exponent_bits == 4 ? Layout::kFloat8E4 : Layout::kFloat8E5;
  }
}

void split(Transform transform, const DTypeInfo& dtype, const uint8_t* raw, uint64_t symbols, uint8_t* const* planes) {
  kernels(isa()).split[static_cast<size_t>(layout_of(transform, dtype))](raw, symbols, planes);
}

void join(Transform transform, const DTypeInfo& dtype, const uint8_t* const* planes, uint64_t symbols, uint8_t* raw) {
  kernels(isa()).join[static_cast<size_t>(layout_of(transform, dtype))](planes, symbols, raw);
}

}  // namespace mithril
