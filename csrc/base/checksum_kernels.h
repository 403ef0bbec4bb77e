// xxHash inlined under the target of the including file. Everything in xxhash.h is static here, so that the linker
// cannot mix variants.
#define XXH_INLINE_ALL
#define XXH_NO_STREAM
#include <xxhash.h>

namespace mithril::MITHRIL_ISA_NAMESPACE {

uint64_t xxh3_64(const void* data, size_t size) noexcept { return XXH3_64bits(data, size); }

void xxh3_128(const void* data, size_t size, uint64_t* low, uint64_t* high) noexcept {
  XXH128_hash_t h = XXH3_128bits(data, size);
  *low = h.low64;
  *high = h.high64;
}

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
