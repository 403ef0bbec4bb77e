// Raw: symbols of b < 8 bits packed, least significant bit first; eight symbols are b bytes. Constant: one symbol.
#include <cstring>

#include "csrc/coder/coder.h"

namespace mithril {

// Eight bytes of b bits each to one integer of 8b bits: pairs, then fours, then all.
static inline uint64_t pack8(uint64_t x, uint32_t b) {
  x = (x & 0x00ff00ff00ff00ff) | (x & 0xff00ff00ff00ff00) >> (8 - b);
  x = (x & 0x0000ffff0000ffff) | (x & 0xffff0000ffff0000) >> (16 - 2 * b);
  return (x & 0xffffffff) | x >> 32 << (4 * b);
}

static inline uint64_t unpack8(uint64_t x, uint32_t b) {
  uint64_t half = (uint64_t{1} << (4 * b)) - 1;
  x = (x & half) | (x >> (4 * b) & half) << 32;
  uint64_t quarter = ((uint64_t{1} << (2 * b)) - 1) * 0x0000000100000001;
  x = (x & quarter) | (x >> (2 * b) & quarter) << 16;
  uint64_t one = ((uint64_t{1} << b) - 1) * 0x0001000100010001;
  return (x & one) | (x >> b & one) << 8;
}

uint64_t encode_raw(const Plane& plane, uint8_t* out) noexcept {
  uint64_t size = raw_stream_size(plane.count, plane.bits);
  if (plane.bits >= 8) {
    if (size) std::memcpy(out, plane.symbols, size);
    return size;
  }
  uint64_t i = 0;
  uint8_t* p = out;
  for (; i + 16 <= plane.count;
       i += 8, p += plane.bits) {  // the store reaches beyond the eight symbols, never beyond the stream
    uint64_t x;
    std::memcpy(&x, plane.symbols + i, 8);
    x = pack8(x, plane.bits);
    if (p + 8 <= out + size)
      std::memcpy(p, &x, 8);
    else
      std::memcpy(p, &x, plane.bits);
  }
  for (; i < plane.count; i += 8, p += plane.bits) {
    uint64_t x = 0, n = plane.count - i < 8 ? plane.count - i : 8;
    std::memcpy(&x, plane.symbols + i, n);
    x = pack8(x, plane.bits);
    std::memcpy(p, &x, raw_stream_size(n, plane.bits));
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
  const uint8_t* p = stream.data;
  const uint8_t* end = stream.data + stream.size;
  uint64_t i = 0;
  for (; i + 8 <= shape.count && p + 8 <= end; i += 8, p += shape.bits) {
    uint64_t x;
    std::memcpy(&x, p, 8);
    x = unpack8(x, shape.bits);
    std::memcpy(out + i, &x, 8);
  }
  for (; i < shape.count; i += 8, p += shape.bits) {
    uint64_t x = 0, n = shape.count - i < 8 ? shape.count - i : 8, bytes = raw_stream_size(n, shape.bits);
    std::memcpy(&x, p, bytes);
    if (n < 8 && x >> (n * shape.bits)) throw_corrupt("raw stream: unused bits are not zero");
    x = unpack8(x, shape.bits);
    std::memcpy(out + i, &x, n);
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
