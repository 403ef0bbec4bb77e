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

// No planes when the transform does not apply to the dtype.
PlaneList planes_of(Transform transform, const DTypeInfo& dtype);

// Symbols per plane of a block of `elements`.
constexpr uint64_t symbols_of(Transform transform, const DTypeInfo& dtype, uint64_t elements) {
  return transform == Transform::kIdentity ? elements : elements * (dtype.element_bytes / dtype.component_bytes);
}

// `planes[k]` has room for symbols_of() symbols of plane k; it overlaps neither `raw` nor another plane. Not for
// identity, whose plane is the raw bytes. Preconditions are checked by the caller (planes_of().count > 0).
void split(Transform transform, const DTypeInfo& dtype, const uint8_t* raw, uint64_t symbols, uint8_t* const* planes);
void join(Transform transform, const DTypeInfo& dtype, const uint8_t* const* planes, uint64_t symbols, uint8_t* raw);

}  // namespace mithril
