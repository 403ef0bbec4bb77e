// XXH3, seed 0, default secret.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/bytes.h"
#include "csrc/base/checksum_state.h"

namespace mithril {

uint64_t xxh3_64(const void* data, size_t size);
Hash128 xxh3_128(const void* data, size_t size);

// The same hash of bytes that come in pieces: a piece is cheapest while it lies in the first-level cache.
class Xxh3 {
 public:
  Xxh3();
  void add(const void* data, size_t size);
  uint64_t end() const;

 private:
  alignas(64) uint8_t state_[kXxh3StateSize];
};

}  // namespace mithril
