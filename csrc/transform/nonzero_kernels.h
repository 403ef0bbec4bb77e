// Components that are zero apart from the others (docs/format.md 6.4, nonzero_keys), one set per instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/cpu.h"

namespace mithril {

// By the bytes of a component: 1, 2, 4 and 8. As pick_nonzero and spread_nonzero in transform.h.
struct NonzeroKernels {
  size_t (*pick[4])(const uint8_t* raw, size_t n, uint8_t* mask, uint8_t* out) noexcept;
  void (*spread[4])(const uint8_t* nonzero, const uint8_t* mask, size_t n, uint8_t* raw) noexcept;
};

const NonzeroKernels& nonzero_kernels(Isa isa);

}  // namespace mithril
