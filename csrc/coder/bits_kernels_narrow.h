// The bits kernels for registers of 16 or 32 bytes, included after simd_<isa>.h.
#include "csrc/coder/bits_rows_narrow.h"

namespace mithril {

namespace scalar {
extern const BitsKernels kBitsKernels;
}

namespace MITHRIL_ISA_NAMESPACE {

namespace {

constexpr size_t kGroups = kWidth / 8;

// Both loops reach over what they are to touch by less than 16 bytes, so the last groups are left to the scalar ones.
inline bool has_room(size_t groups, uint32_t bits) { return groups >= kGroups && groups * bits >= 2 * bits + 16; }

void pack(const uint8_t* symbols, size_t groups, uint32_t bits, uint8_t* out) noexcept {
  const PackBits packed(bits);
  for (; has_room(groups, bits); groups -= kGroups, symbols += kWidth, out += kGroups * bits)
    store_at(out, 2 * bits, packed(load(symbols)));
  scalar::kBitsKernels.pack(symbols, groups, bits, out);
}

void unpack(const uint8_t* packed, size_t groups, uint32_t bits, uint8_t* symbols) noexcept {
  const UnpackBits unpacked(bits);
  for (; has_room(groups, bits); groups -= kGroups, packed += kGroups * bits, symbols += kWidth)
    store(symbols, unpacked(load_packed(packed, bits)));
  scalar::kBitsKernels.unpack(packed, groups, bits, symbols);
}

}  // namespace

extern const BitsKernels kBitsKernels;
const BitsKernels kBitsKernels = {pack, unpack};

}  // namespace MITHRIL_ISA_NAMESPACE

}  // namespace mithril
