// Copies past the caches: for results that are larger than a cache and are not read soon. Writing whole lines saves
// reading them first, a third of the traffic of decoding.
#pragma once
#include <cstddef>
#include <cstdint>

namespace mithril {

// Other threads may see the bytes after the next finish_streaming() only.
void stream_copy(uint8_t* to, const uint8_t* from, size_t size) noexcept;
void finish_streaming() noexcept;

}  // namespace mithril
