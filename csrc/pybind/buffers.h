// Memory that Python objects lend: the buffer protocol, or DLPack on the CPU (torch tensors of any age, without numpy).
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>

#include "csrc/base/bytes.h"

namespace mithril {

// Contiguous bytes of an object, held until the last copy goes (on any thread). Throws invalid_argument when the object
// has neither protocol, is not contiguous, not on the CPU, or read-only where `writable` is asked for.
struct LentBytes {
  uint8_t* data = nullptr;
  uint64_t size = 0;
  std::shared_ptr<const void> keeper;

  ByteView view() const { return {data, size}; }
};

LentBytes borrow(const pybind11::object& object, bool writable);

}  // namespace mithril
