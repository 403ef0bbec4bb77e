// The loops of split and join, one set per instruction set. n is the number of components; planes as in
// docs/format.md 6.3.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/cpu.h"

namespace mithril {

// A component layout, numbered so that a table of kernels can be indexed by it.
enum class Layout : uint8_t {
  kBytes2,
  kBytes4,
  kBytes8,
  kBFloat16,
  kFloat16,
  kFloat32,
  kFloat64,
  kFloat8E4,
  kFloat8E5,
  kCount
};

struct Kernels {
  void (*split[static_cast<size_t>(Layout::kCount)])(const uint8_t* raw, size_t n, uint8_t* const* planes) noexcept;
  void (*join[static_cast<size_t>(Layout::kCount)])(const uint8_t* const* planes, size_t n, uint8_t* raw) noexcept;
};

const Kernels& kernels(Isa isa);

}  // namespace mithril
