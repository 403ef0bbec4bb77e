// The shape of a transform's output: how many planes, and the width of their symbols.
#pragma once
#include <array>
#include <cstdint>

#include "csrc/base/ids.h"

namespace mithril {

struct PlaneList {
  uint32_t count = 0;
  std::array<uint8_t, kMaxPlanes> symbol_bits{};

  void add(uint32_t bits) { symbol_bits[count++] = static_cast<uint8_t>(bits); }
  bool operator==(const PlaneList& o) const { return count == o.count && symbol_bits == o.symbol_bits; }
};

}  // namespace mithril
