// Palette: the values of a plane once, and which of them each symbol is. For tensors with few values, such as masks and
// dequantised weights.
#include <algorithm>
#include <cstring>

#include "csrc/base/checked.h"
#include "csrc/coder/coder.h"

namespace mithril {

static constexpr uint64_t kHeader = 4, kMost = 256;

static uint32_t index_bits(uint64_t values) {
  uint32_t bits = 1;
  while (values > uint64_t{1} << bits) bits++;
  return bits;
}

// Numbers values of `Width` bytes in the order in which they come. An open hash table, filled to half at most.
template <uint64_t Width>
class Palette {
 public:
  // Writes the index of each symbol; false at the value after the last that there is room for.
  bool index(const uint8_t* symbols, uint64_t count, uint8_t* indices) {
    for (uint64_t i = 0; i < count; i++) {
      const uint8_t* value = symbols + i * Width;
      uint32_t at = hash(value);
      while (used_[at] && std::memcmp(values_ + index_[at] * Width, value, Width) != 0) at = (at + 1) % kSlots;
      if (!used_[at]) {
        if (count_ == kMost) return false;
        used_[at] = true, index_[at] = static_cast<uint8_t>(count_);
        std::memcpy(values_ + count_++ * Width, value, Width);
      }
      indices[i] = index_[at];
    }
    return true;
  }
  uint64_t count() const { return count_; }
  const uint8_t* values() const { return values_; }

 private:
  static constexpr uint32_t kSlots = 512;
  static uint32_t hash(const uint8_t* value) {
    uint64_t x = 0, y = 0;
    std::memcpy(&x, value, std::min<uint64_t>(Width, 8));
    if (Width > 8) std::memcpy(&y, value + Width - 8, 8);
    return static_cast<uint32_t>((x ^ y * 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93 >> 55);
  }
  uint64_t count_ = 0;
  bool used_[kSlots] = {};
  uint8_t index_[kSlots];
  uint8_t values_[kMost * Width];
};

template <uint64_t Width>
static uint64_t encode_width(const Plane& plane, uint8_t* out, uint64_t capacity, CoderScratch& scratch) {
  Palette<Width> palette;
  uint8_t* indices = scratch.palette.data();
  if (!palette.index(plane.symbols, plane.count, indices)) return 0;
  uint64_t head = kHeader + palette.count() * Width;
  Plane of_indices{indices, plane.count, index_bits(palette.count())};
  uint64_t raw_size = raw_stream_size(of_indices.count, of_indices.bits);
  if (head >= capacity) return 0;
  uint64_t room = std::min(capacity - head, raw_size);
  // The smallest of three; zstd last, for indices with runs or repeats.
  RansScratch& rans = scratch.rans[0];
  choose_segments({indices, plane.count}, plane.count, RansOptions(), rans.model);
  uint64_t size = encode_context_rans(of_indices, nullptr, out + head, room, rans, rans_kernels(isa()));
  Coder coder = Coder::kContextRans;
  bool fits_raw = raw_size <= capacity - head;
  if (uint64_t n = encode_zstd(of_indices, 1, scratch.palette.data() + kMaxBlockBytes / 2,
                               std::min(size ? size - 1 : room, kMaxBlockBytes / 2), scratch.zstd)) {
    std::memcpy(out + head, scratch.palette.data() + kMaxBlockBytes / 2, n);
    size = n, coder = Coder::kZstd;
  }
  if (size == 0) {
    if (!fits_raw) return 0;
    size = encode_raw(of_indices, out + head), coder = Coder::kRaw;
  }
  out[0] = static_cast<uint8_t>(palette.count() - 1), out[1] = static_cast<uint8_t>(coder), out[2] = out[3] = 0;
  std::memcpy(out + kHeader, palette.values(), palette.count() * Width);
  return head + size;
}

uint64_t encode_palette(const Plane& plane, uint8_t* out, uint64_t capacity, CoderScratch& scratch) {
  if (plane.count == 0) return 0;
  switch (plane.bits) {
    case 16: return encode_width<2>(plane, out, capacity, scratch);
    case 32: return encode_width<4>(plane, out, capacity, scratch);
    case 64: return encode_width<8>(plane, out, capacity, scratch);
    case 128: return encode_width<16>(plane, out, capacity, scratch);
    default: return 0;
  }
}

template <uint64_t Width>
static void look_up(const uint8_t* values, const uint8_t* indices, uint64_t count, uint8_t* out) noexcept {
  for (uint64_t i = 0; i < count; i++) std::memcpy(out + i * Width, values + indices[i] * Width, Width);
}

void decode_palette(ByteView stream, const Plane& shape, uint8_t* out, CoderScratch& scratch) {
  uint64_t width = shape.bits / 8;
  if (width < 2) throw_corrupt("palette stream: symbols of " + std::to_string(shape.bits) + " bits");
  ByteCursor c(stream, "palette stream", 0);
  uint64_t count = c.u8("value_count") + uint64_t{1};
  uint32_t coder = c.u8("coder");
  c.zeros(2, "reserved");
  if (coder != static_cast<uint32_t>(Coder::kRaw) && coder != static_cast<uint32_t>(Coder::kZstd) &&
      coder != static_cast<uint32_t>(Coder::kContextRans))
    c.fail("coder", std::to_string(coder) + " is not raw, zstd or context_rans");
  // In memory of its own, with room for every index: none need be checked against the count.
  uint8_t values[256 * 16] = {};
  std::memcpy(values, c.bytes(count * width, "values").data, count * width);
  Plane of_indices{nullptr, shape.count, index_bits(count)};
  uint8_t* indices = scratch.palette.data();
  if (c.left() > raw_stream_size(of_indices.count, of_indices.bits))
    throw_corrupt("palette stream: the indices need less raw");
  decode(static_cast<Coder>(coder), c.bytes(c.left(), "indices"), of_indices, nullptr, indices, scratch);
  uint8_t highest = 0;
  for (uint64_t i = 0; i < shape.count; i++) highest = std::max(highest, indices[i]);
  if (shape.count && highest >= count) throw_corrupt("palette stream: an index has no value");
  switch (width) {
    case 2: return look_up<2>(values, indices, shape.count, out);
    case 4: return look_up<4>(values, indices, shape.count, out);
    case 8: return look_up<8>(values, indices, shape.count, out);
    default: return look_up<16>(values, indices, shape.count, out);
  }
}

}  // namespace mithril
