// Raw: symbols of b < 8 bits packed, least significant bit first; eight symbols are b bytes. Constant: one symbol.
#include <cstring>

#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/coder.h"

namespace mithril {

namespace scalar {
extern const BitsKernels kBitsKernels;
}
#ifdef MITHRIL_SIMD
namespace ssse3 {
extern const BitsKernels kBitsKernels;
}
namespace avx2 {
extern const BitsKernels kBitsKernels;
}
namespace avx512 {
extern const BitsKernels kBitsKernels;
}
#endif

const BitsKernels& bits_kernels(Isa isa) {
#ifdef MITHRIL_SIMD
  if (isa == Isa::kAvx512) return avx512::kBitsKernels;
  if (isa == Isa::kAvx2) return avx2::kBitsKernels;
  if (isa == Isa::kSsse3) return ssse3::kBitsKernels;
#endif
  static_cast<void>(isa);
  return scalar::kBitsKernels;
}

uint64_t encode_raw(const Plane& plane, uint8_t* out) noexcept {
  uint64_t size = raw_stream_size(plane.count, plane.bits);
  if (plane.bits >= 8) {
    if (size) std::memcpy(out, plane.symbols, size);
    return size;
  }
  uint64_t groups = plane.count / 8;
  bits_kernels(isa()).pack(plane.symbols, groups, plane.bits, out);
  if (uint64_t tail = plane.count % 8) {
    uint8_t symbols[8] = {}, packed[8];
    std::memcpy(symbols, plane.symbols + 8 * groups, tail);
    bits_kernels(isa()).pack(symbols, 1, plane.bits, packed);
    std::memcpy(out + groups * plane.bits, packed, raw_stream_size(tail, plane.bits));
  }
  return size;
}

bool is_constant(const Plane& plane) noexcept {
  uint64_t width = (plane.bits + 7) / 8;
  return plane.count > 0 && std::memcmp(plane.symbols, plane.symbols + width, (plane.count - 1) * width) == 0;
}

uint64_t encode_constant(const Plane& plane, uint8_t* out) noexcept {
  uint64_t width = (plane.bits + 7) / 8;
  std::memcpy(out, plane.symbols, width);
  return width;
}

void decode_raw(ByteView stream, const Plane& shape, uint8_t* out) {
  uint64_t size = raw_stream_size(shape.count, shape.bits);
  if (stream.size != size)
    throw_corrupt("raw stream of " + std::to_string(stream.size) + " bytes, expected " + std::to_string(size));
  if (shape.bits >= 8) {
    if (size) std::memcpy(out, stream.data, size);
    return;
  }
  uint64_t groups = shape.count / 8;
  bits_kernels(isa()).unpack(stream.data, groups, shape.bits, out);
  if (uint64_t tail = shape.count % 8) {
    uint8_t symbols[8], packed[8] = {};
    std::memcpy(packed, stream.data + groups * shape.bits, raw_stream_size(tail, shape.bits));
    bits_kernels(isa()).unpack(packed, 1, shape.bits, symbols);
    if (shape.bits * tail % 8 && packed[shape.bits * tail / 8] >> shape.bits * tail % 8)
      throw_corrupt("raw stream: unused bits are not zero");
    std::memcpy(out + 8 * groups, symbols, tail);
  }
}

void decode_constant(ByteView stream, const Plane& shape, uint8_t* out) {
  uint64_t width = (shape.bits + 7) / 8;
  if (stream.size != width)
    throw_corrupt("constant stream of " + std::to_string(stream.size) + " bytes, expected " + std::to_string(width));
  if (width == 1) {
    std::memset(out, stream.data[0], shape.count);
    return;
  }
  if (shape.count) std::memcpy(out, stream.data, width);
  for (uint64_t done = width, total = shape.bytes(); done < total;) {
    uint64_t n = done < total - done ? done : total - done;
    std::memcpy(out + done, out, n);
    done += n;
  }
}

}  // namespace mithril
