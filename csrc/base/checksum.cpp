#include "csrc/base/checksum.h"

#include "csrc/base/cpu.h"
#include "csrc/base/simd.h"

namespace mithril {

#define MITHRIL_DECLARE(isa)                                         \
  namespace isa {                                                    \
  uint64_t xxh3_64(const void*, size_t) noexcept;                    \
  void xxh3_128(const void*, size_t, uint64_t*, uint64_t*) noexcept; \
  void xxh3_64_begin(void*) noexcept;                                \
  void xxh3_64_add(void*, const void*, size_t) noexcept;             \
  uint64_t xxh3_64_end(const void*) noexcept;                        \
  }
MITHRIL_DECLARE(scalar)
#ifdef MITHRIL_SIMD
MITHRIL_DECLARE(avx2)
MITHRIL_DECLARE(avx512)
#endif

#ifdef MITHRIL_SIMD
#define MITHRIL_CALL(function, ...)                      \
  (isa() == Isa::kAvx512 ? avx512::function(__VA_ARGS__) \
   : isa() == Isa::kAvx2 ? avx2::function(__VA_ARGS__)   \
                         : scalar::function(__VA_ARGS__))
#else
#define MITHRIL_CALL(function, ...) scalar::function(__VA_ARGS__)
#endif

uint64_t xxh3_64(const void* data, size_t size) {
#ifdef MITHRIL_SIMD
  // Loads of 64 bytes that straddle cache lines read memory that is in no cache a third slower than those of 32.
  if (isa() == Isa::kAvx512 && reinterpret_cast<uintptr_t>(data) % 64 != 0) return avx2::xxh3_64(data, size);
#endif
  return MITHRIL_CALL(xxh3_64, data, size);
}

Xxh3::Xxh3() { MITHRIL_CALL(xxh3_64_begin, state_); }
void Xxh3::add(const void* data, size_t size) { MITHRIL_CALL(xxh3_64_add, state_, data, size); }
uint64_t Xxh3::end() const { return MITHRIL_CALL(xxh3_64_end, state_); }

// Only used on metadata: one variant is enough.
Hash128 xxh3_128(const void* data, size_t size) {
  Hash128 h;
  scalar::xxh3_128(data, size, &h.low, &h.high);
  return h;
}

}  // namespace mithril
