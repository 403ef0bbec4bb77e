// split: a block's raw bytes → planes; join: back, exactly. Layouts: docs/format.md 6.2 and 6.3.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/dtype.h"
#include "csrc/base/ids.h"
#include "csrc/base/planes.h"

namespace mithril {

// Bytes that a symbol takes in memory: one up to 8 bits; an element for the identity transform.
constexpr uint64_t symbol_bytes(uint32_t symbol_bits) { return (symbol_bits + 7) / 8; }

// How the keys of floats are made (docs/format.md 6.4), as it stands in the parameter of a recipe.
struct KeyForm {
  uint32_t joined = 0;    // bits of the mantissa in a key, 0 to 2
  bool no_signs = false;  // all are 0: the first plane is a bit narrower, and its symbols must be so
  uint32_t base = 0;      // the key that is numbered 0 comes after it; 0 for keys of at most 8 bits

  uint16_t parameter() const { return static_cast<uint16_t>(joined | uint32_t{no_signs} << 2 | base << 3); }
  static KeyForm of(uint16_t parameter) { return {parameter & 3u, (parameter & 4u) != 0, uint32_t{parameter} >> 3}; }
};
constexpr uint32_t key_bits(const DTypeInfo& dtype, uint32_t joined) { return dtype.exponent_bits + joined; }

// No planes when the transform, with its parameter, does not apply to the dtype. Those of nonzero_keys are the mask and
// then those of float_keys.
PlaneList planes_of(Transform transform, const DTypeInfo& dtype, uint16_t parameter = 0);

// Symbols per plane of a block of `elements`.
constexpr uint64_t symbols_of(Transform transform, const DTypeInfo& dtype, uint64_t elements) {
  return transform == Transform::kIdentity ? elements : elements * (dtype.element_bytes / dtype.component_bytes);
}

// split and join are for byte_planes and float_fields; `planes[k]` has room for symbols_of() symbols of plane k; it
// overlaps neither `raw` nor another plane. Not for identity, whose plane is the raw bytes. Preconditions are checked
// by the caller (planes_of().count > 0).
void split(Transform transform, const DTypeInfo& dtype, const uint8_t* raw, uint64_t symbols, uint8_t* const* planes);
void join(Transform transform, const DTypeInfo& dtype, const uint8_t* const* planes, uint64_t symbols, uint8_t* raw);

// The same for float_keys. split_keys leaves out the plane key_high and returns the or of its symbols; join_keys takes
// null for it when all are zero.
uint32_t split_keys(const DTypeInfo& dtype, KeyForm form, const uint8_t* raw, uint64_t symbols, uint8_t* const* planes);
void split_key_high(const DTypeInfo& dtype, KeyForm form, const uint8_t* raw, uint64_t symbols, uint8_t* high);
void join_keys(const DTypeInfo& dtype, KeyForm form, const uint8_t* const* planes, uint64_t symbols, uint8_t* raw);

// nonzero_keys: of each component of `width` bytes whether it is zero (mask: kNonzero; else 0, or 2 for minus zero),
// and those that are not, side by side; their count is returned. `out` has room for all and 64 bytes. spread() puts
// them back; its mask holds 0 to 2, and 64 bytes may be read beyond them.
inline constexpr uint8_t kNonzero = 1;
uint64_t pick_nonzero(const uint8_t* raw, uint64_t components, uint32_t width, uint8_t* mask, uint8_t* out);
void spread_nonzero(const uint8_t* nonzero, const uint8_t* mask, uint64_t components, uint32_t width, uint8_t* raw);

}  // namespace mithril
