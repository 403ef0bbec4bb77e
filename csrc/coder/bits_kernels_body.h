// Compiled once per instruction set under the namespace MITHRIL_ISA_NAMESPACE. Groups are packed in registers, many at
// a time, and laid side by side one by one.

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

constexpr size_t kMany = 32;

// Eight bytes of b bits each to one integer of 8b bits: pairs, then fours, then all.
inline uint64_t pack8(uint64_t x, uint32_t b) {
  x = (x & 0x00ff00ff00ff00ff) | (x & 0xff00ff00ff00ff00) >> (8 - b);
  x = (x & 0x0000ffff0000ffff) | (x & 0xffff0000ffff0000) >> (16 - 2 * b);
  return (x & 0xffffffff) | x >> 32 << (4 * b);
}

inline uint64_t unpack8(uint64_t x, uint32_t b) {
  uint64_t half = (uint64_t{1} << (4 * b)) - 1;
  x = (x & half) | (x >> (4 * b) & half) << 32;
  uint64_t quarter = ((uint64_t{1} << (2 * b)) - 1) * 0x0000000100000001;
  x = (x & quarter) | (x >> (2 * b) & quarter) << 16;
  uint64_t one = ((uint64_t{1} << b) - 1) * 0x0001000100010001;
  return (x & one) | (x >> b & one) << 8;
}

void pack(const uint8_t* symbols, size_t groups, uint32_t bits, uint8_t* out) noexcept {
  uint64_t many[kMany];
  // A store of a group reaches over the next ones, which are written after it.
  for (; groups > kMany + 8; groups -= kMany, symbols += 8 * kMany) {
    __builtin_memcpy(many, symbols, sizeof many);
    for (size_t i = 0; i < kMany; i++) many[i] = pack8(many[i], bits);
    for (size_t i = 0; i < kMany; i++, out += bits) __builtin_memcpy(out, &many[i], 8);
  }
  for (; groups > 0; groups--, symbols += 8, out += bits) {
    uint64_t x;
    __builtin_memcpy(&x, symbols, 8);
    x = pack8(x, bits);
    if (groups > 8)
      __builtin_memcpy(out, &x, 8);
    else
      for (uint32_t k = 0; k < bits; k++) out[k] = static_cast<uint8_t>(x >> (8 * k));
  }
}

void unpack(const uint8_t* packed, size_t groups, uint32_t bits, uint8_t* symbols) noexcept {
  uint64_t many[kMany];
  for (; groups > kMany + 8; groups -= kMany, symbols += 8 * kMany) {
    for (size_t i = 0; i < kMany; i++, packed += bits) __builtin_memcpy(&many[i], packed, 8);
    for (size_t i = 0; i < kMany; i++) many[i] = unpack8(many[i], bits);
    __builtin_memcpy(symbols, many, sizeof many);
  }
  for (; groups > 0; groups--, symbols += 8, packed += bits) {
    uint64_t x = 0;
    if (groups > 8)
      __builtin_memcpy(&x, packed, 8);
    else
      for (uint32_t k = 0; k < bits; k++) x |= uint64_t{packed[k]} << (8 * k);
    x = unpack8(x, bits);
    __builtin_memcpy(symbols, &x, 8);
  }
}

}  // namespace

extern const BitsKernels kBitsKernels;
const BitsKernels kBitsKernels = {pack, unpack};

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
