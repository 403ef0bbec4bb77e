// xxHash inlined under the target of the including file. Everything in xxhash.h is static here, so that the linker
// cannot mix variants.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "csrc/base/checksum_state.h"

namespace mithril::MITHRIL_ISA_NAMESPACE {

uint64_t xxh3_64(const void* data, size_t size) noexcept { return XXH3_64bits(data, size); }

void xxh3_128(const void* data, size_t size, uint64_t* low, uint64_t* high) noexcept {
  XXH128_hash_t h = XXH3_128bits(data, size);
  *low = h.low64;
  *high = h.high64;
}

static_assert(sizeof(XXH3_state_t) <= kXxh3StateSize && alignof(XXH3_state_t) <= 64, "room for the state");
void xxh3_64_begin(void* state) noexcept { XXH3_64bits_reset(static_cast<XXH3_state_t*>(state)); }
void xxh3_64_add(void* state, const void* data, size_t size) noexcept {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state), data, size);
}
uint64_t xxh3_64_end(const void* state) noexcept { return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state)); }

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
