// The loops of split and join, one set per instruction set. n is the number of components; planes as in
// docs/format.md 6.3.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/cpu.h"
#include "csrc/base/dtype.h"

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

// A float type whose components are split into keys (docs/format.md 6.4), numbered likewise; and how many bits of the
// mantissa a key may hold.
enum class KeyLayout : uint8_t { kBFloat16, kFloat16, kFloat32, kFloat64, kFloat8E4, kFloat8E5, kCount };
inline constexpr uint32_t kMaxJoined = 2;

struct KeyKernels {
  // Writes all planes but key_high, whose bits, or-ed together, are returned.
  uint32_t (*split)(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept;
  void (*split_high)(const uint8_t* raw, size_t n, uint32_t base, uint8_t* high) noexcept;
  // key_high may be null: it is zero then.
  void (*join)(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept;
};

struct Kernels {
  void (*split[static_cast<size_t>(Layout::kCount)])(const uint8_t* raw, size_t n, uint8_t* const* planes) noexcept;
  void (*join[static_cast<size_t>(Layout::kCount)])(const uint8_t* const* planes, size_t n, uint8_t* raw) noexcept;
  KeyKernels keys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
};

const Kernels& kernels(Isa isa);
KeyLayout key_layout(const DTypeInfo& dtype);
const KeyKernels& key_kernels(Isa isa, KeyLayout layout, uint32_t joined);

}  // namespace mithril
