#include <cstring>

#include "csrc/transform/nonzero_kernels.h"

namespace mithril::scalar {

template <class T>
static size_t pick(const uint8_t* raw, size_t n, uint8_t* mask, uint8_t* out) noexcept {
  constexpr uint32_t kSign = 8 * sizeof(T) - 1;
  size_t picked = 0;
  for (size_t i = 0; i < n; i++) {
    T x;
    std::memcpy(&x, raw + i * sizeof(T), sizeof(T));
    std::memcpy(out + picked * sizeof(T), &x, sizeof(T));
    uint64_t other = static_cast<T>(x << 1) != 0;  // a branch would be mispredicted
    picked += other;
    mask[i] = static_cast<uint8_t>(other | ((uint64_t{x} >> kSign << 1) & (other - 1)));
  }
  return picked;
}

template <class T>
static void spread(const uint8_t* nonzero, const uint8_t* mask, size_t n, uint8_t* raw) noexcept {
  for (size_t i = 0; i < n; i++) {
    T x;
    std::memcpy(&x, nonzero, sizeof(T));
    T other = mask[i] & 1;
    x = static_cast<T>((x & (T{0} - other)) | T(mask[i] >> 1) << (8 * sizeof(T) - 1));
    nonzero += sizeof(T) * other;
    std::memcpy(raw + i * sizeof(T), &x, sizeof(T));
  }
}

extern const NonzeroKernels kNonzeroKernels;
const NonzeroKernels kNonzeroKernels = {{pick<uint8_t>, pick<uint16_t>, pick<uint32_t>, pick<uint64_t>},
                                        {spread<uint8_t>, spread<uint16_t>, spread<uint32_t>, spread<uint64_t>}};

}  // namespace mithril::scalar
