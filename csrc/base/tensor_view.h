// A tensor as the core sees it: dense memory in physical order, with the logical shape.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "csrc/base/checked.h"
#include "csrc/base/dtype.h"
#include "csrc/base/error.h"

namespace mithril {

struct TensorView {
  const uint8_t* data = nullptr;
  DType dtype = DType::kUInt8;
  std::vector<uint64_t> dims;
  std::vector<uint8_t> dim_order;      // outermost to innermost in memory; see docs/format.md 4
  std::shared_ptr<const void> keeper;  // keeps `data` alive

  uint64_t numel() const { return count(dims); }
  uint64_t bytes() const { return numel() * info(dtype).element_bytes; }

  static uint64_t count(const std::vector<uint64_t>& dims) {
    uint64_t n = 1;
    for (uint64_t d : dims) n *= d;
    return n;
  }
};

// Elements of `dims`, checked: element bytes × elements stays below 2^63, also when a dim is 0.
inline uint64_t checked_numel(const std::vector<uint64_t>& dims, uint32_t element_bytes) {
  std::optional<uint64_t> n = element_bytes, nonzero = element_bytes;
  for (uint64_t d : dims) {
    if (n) n = checked_mul(*n, d);
    if (nonzero && d) nonzero = checked_mul(*nonzero, d);
  }
  if (!n || !nonzero || *nonzero >> 63) throw_invalid("shape: the tensor would have 2^63 bytes or more");
  return *n / element_bytes;
}

inline std::vector<uint8_t> row_major(size_t ndim) {
  std::vector<uint8_t> order(ndim);
  for (size_t i = 0; i < ndim; i++) order[i] = static_cast<uint8_t>(i);
  return order;
}

}  // namespace mithril
