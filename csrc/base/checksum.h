// XXH3, seed 0, default secret.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/bytes.h"

namespace mithril {

uint64_t xxh3_64(const void* data, size_t size);
Hash128 xxh3_128(const void* data, size_t size);

}  // namespace mithril
