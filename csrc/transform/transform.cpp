#include "csrc/transform/transform.h"

#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#include "csrc/transform/nonzero_kernels.h"

namespace mithril {

namespace scalar {
extern const Kernels kKernels;
extern const NonzeroKernels kNonzeroKernels;
}  // namespace scalar
#ifdef MITHRIL_SIMD
namespace ssse3 {
extern const Kernels kKernels;
extern const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
}  // namespace ssse3
namespace avx2 {
extern const Kernels kKernels;
extern const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
}  // namespace avx2
namespace avx512 {
extern const Kernels kKernels;
extern const NonzeroKernels kNonzeroKernels;
extern const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
}  // namespace avx512
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

const NonzeroKernels& nonzero_kernels(Isa isa) {
#ifdef MITHRIL_SIMD
  if (isa == Isa::kAvx512) return avx512::kNonzeroKernels;
#endif
  static_cast<void>(isa);
  return scalar::kNonzeroKernels;
}

const KeyKernels& key_kernels(Isa isa, KeyLayout layout, uint32_t joined) {
#ifdef MITHRIL_SIMD
  if (isa != Isa::kScalar) {
    const auto& all = isa == Isa::kAvx512 ? avx512::kShuffledKeys
                      : isa == Isa::kAvx2 ? avx2::kShuffledKeys
                                          : ssse3::kShuffledKeys;
    const KeyKernels& shuffled = all[static_cast<size_t>(layout)][joined];
    if (shuffled.split) return shuffled;
  }
#endif
  return kernels(isa).keys[static_cast<size_t>(layout)][joined];
}

static void add_key_planes(const DTypeInfo& dtype, KeyForm form, PlaneList& planes) {
  uint32_t bits = key_bits(dtype, form.joined), rest = dtype.mantissa_bits - form.joined + 1;
  if (rest % 8) planes.add(rest % 8 - form.no_signs);
  for (uint32_t k = 0; k < rest / 8; k++) planes.add(rest % 8 == 0 && k == 0 ? 8 - form.no_signs : 8);
  if (bits > 8) planes.add(bits - 8);
  planes.add(bits < 8 ? bits : 8);
}

// A window of 255 keys that fits, or none for keys that need none.
static bool is_valid(const DTypeInfo& dtype, KeyForm form) {
  if (dtype.exponent_bits == 0 || form.joined > kMaxJoined || form.joined > dtype.mantissa_bits) return false;
  uint32_t bits = key_bits(dtype, form.joined);
  if (form.no_signs && (dtype.mantissa_bits - form.joined + 1) % 8 == 1) return false;  // no bits would be left
  return bits > 8 ? form.base + 256 <= 1u << bits : form.base == 0;
}

PlaneList planes_of(Transform transform, const DTypeInfo& dtype, uint16_t parameter) {
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
    case Transform::kFloatKeys:
    case Transform::kNonzeroKeys:
      if (!is_valid(dtype, KeyForm::of(parameter))) break;
      if (transform == Transform::kNonzeroKeys) planes.add(2);
      add_key_planes(dtype, KeyForm::of(parameter), planes);
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

KeyLayout key_layout(const DTypeInfo& dtype) {
  switch (dtype.component_bytes) {
    case 8: return KeyLayout::kFloat64;
    case 4: return KeyLayout::kFloat32;
    case 2: return dtype.exponent_bits == 8 ? KeyLayout::kBFloat16 : KeyLayout::kFloat16;
    default: return dtype.exponent_bits == 4 ? KeyLayout::kFloat8E4 : KeyLayout::kFloat8E5;
  }
}

uint32_t split_keys(const DTypeInfo& dtype, KeyForm form, const uint8_t* raw, uint64_t symbols,
                    uint8_t* const* planes) {
  return key_kernels(isa(), key_layout(dtype), form.joined).split(raw, symbols, form.base, planes);
}

void split_key_high(const DTypeInfo& dtype, KeyForm form, const uint8_t* raw, uint64_t symbols, uint8_t* high) {
  kernels(isa()).keys[static_cast<size_t>(key_layout(dtype))][form.joined].split_high(raw, symbols, form.base, high);
}

void join_keys(const DTypeInfo& dtype, KeyForm form, const uint8_t* const* planes, uint64_t symbols, uint8_t* raw) {
  key_kernels(isa(), key_layout(dtype), form.joined).join(planes, symbols, form.base, raw);
}

static uint32_t width_index(uint32_t width) { return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3; }

uint64_t pick_nonzero(const uint8_t* raw, uint64_t components, uint32_t width, uint8_t* mask, uint8_t* out) {
  Isa with = width == 8 ? Isa::kScalar : isa();
  return nonzero_kernels(with).pick[width_index(width)](raw, components, mask, out);
}

void spread_nonzero(const uint8_t* nonzero, const uint8_t* mask, uint64_t components, uint32_t width, uint8_t* raw) {
  Isa with = width == 8 ? Isa::kScalar : isa();
  nonzero_kernels(with).spread[width_index(width)](nonzero, mask, components, raw);
}

}  // namespace mithril
