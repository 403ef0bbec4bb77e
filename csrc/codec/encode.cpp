// The encoder's policy. Costs are estimated in integers, never timed.
#include <cstring>

#include "csrc/base/checksum.h"
#include "csrc/codec/codec.h"
#include "csrc/transform/transform.h"

namespace mithril {

static constexpr uint32_t kRansTable = 32;

void EncoderOptions::check() const {
  if (zstd_level < 1 || zstd_level > 22) throw_invalid("zstd_level " + std::to_string(zstd_level) + " is not 1 to 22");
  if (block_bytes < 4096 || block_bytes > kMaxBlockBytes)
    throw_invalid("block_bytes " + std::to_string(block_bytes) + " is not 4096 to " + std::to_string(kMaxBlockBytes));
}

static Transform choose_transform(const DTypeInfo& dtype, const EncoderOptions& options) {
  if (!options.split || dtype.component_bytes == 1) return Transform::kIdentity;
  // A half's top byte (sign, exponent, two mantissa bits) coded as one symbol beats its exponent alone: see
  // docs/decisions/0002.
  if (dtype.exponent_bits == 0 || dtype.exponent_bits == 5) return Transform::kBytePlanes;
  return Transform::kFloatFields;
}

// Whether a zstd frame of the first 2 KiB finds repeats that symbol counts do not show (counters, repeated records).
static bool has_repeats(const Plane& plane, ZstdContext& zstd) {
  constexpr uint64_t kProbe = 2048;
  uint8_t out[kProbe];
  Plane probe{plane.symbols, kProbe, 8};
  return plane.bytes() >= kProbe && encode_zstd(probe, 1, out, kProbe - kProbe / 16, zstd) > 0;
}

// Whether one sampled run of 32 symbols in 16 is all the same: zeros lie together (unused rows, padding), which symbol
// counts do not show either.
static bool has_runs(const Plane& plane) noexcept {
  constexpr uint64_t kRun = 32, kStride = 512;
  uint64_t runs = 0, constant = 0;
  for (uint64_t at = 0; at + kRun <= plane.count; at += kStride, runs++)
    constant += std::memcmp(plane.symbols + at, plane.symbols + at + 1, kRun - 1) == 0;
  return constant * 16 > runs;
}

// Takes constant, rans, zstd or raw; writes the stream to `out`, which has room for the raw one.
static StreamRecord encode_plane(const Plane& plane, bool is_float, const EncoderOptions& options,
                                 CoderScratch& scratch, uint8_t* out) {
  if (is_constant(plane)) return {Coder::kConstant, encode_constant(plane, out)};
  uint64_t raw_size = raw_stream_size(plane.count, plane.bits);
  uint64_t capacity = raw_size - raw_size / 64;  // a lesser gain is not worth a decoder's time
  bool field = is_float && plane.bits <= 8, hard = options.zstd_level >= 16;
  bool repeats = is_float ? field && has_runs(plane) : has_repeats(plane, scratch.zstd);
  ByteCounts counts = count_bytes(plane);
  uint64_t counted = estimate_bits(plane, counts) / 8;
  // An estimate below 1/32 is not worth the try.
  if (counted >= raw_size - raw_size / 32 && !repeats) return {Coder::kRaw, encode_raw(plane, out)};

  auto rans = [&](uint64_t room) {
    return plane.bits <= 8 ? encode_rans(plane, counts, kRansTable, out, room, scratch.rans) : 0;
  };
  uint64_t rans_size = rans(capacity);
  // zstd may be smaller where symbols repeat, and where there are too many for the table of rans; a header is allowed.
  if (rans_size && !repeats && !hard && rans_size <= counted + counted / 32 + 256) return {Coder::kRans, rans_size};
  // On the fields of floats, where there are symbols to count but no matches to find, level 1 is smaller and faster
  // than 2 to 15.
  int level = field && !hard ? 1 : options.zstd_level;
  if (uint64_t n = encode_zstd(plane, level, out, rans_size ? rans_size - 1 : capacity, scratch.zstd))
    return {Coder::kZstd, n};
  if (rans_size) return {Coder::kRans, rans(capacity)};  // once more: zstd has written over it
  return {Coder::kRaw, encode_raw(plane, out)};
}

EncodedBlock encode_block(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options,
                          Scratch& scratch, uint8_t* out) {
  uint64_t raw_bytes = elements * dtype.element_bytes;
  EncodedBlock block;
  block.raw_checksum = xxh3_64(raw, raw_bytes);
  bool is_float = dtype.exponent_bits > 0;

  Plane whole{raw, elements, 8 * dtype.element_bytes};
  block.transform = is_constant(whole) ? Transform::kIdentity : choose_transform(dtype, options);
  block.planes = planes_of(block.transform, dtype);
  if (block.transform == Transform::kIdentity) {
    block.streams[0] = encode_plane(whole, is_float, options, scratch.coder, out);
    block.stored_size = block.streams[0].size;
  } else {
    uint64_t symbols = symbols_of(block.transform, dtype, elements);
    std::array<uint8_t*, kMaxPlanes> planes;
    for (uint32_t k = 0; k < block.planes.count; k++) planes[k] = scratch.planes.data() + k * symbols;
    split(block.transform, dtype, raw, symbols, planes.data());
    for (uint32_t k = 0; k < block.planes.count; k++) {
      block.streams[k] = encode_plane({planes[k], symbols, block.planes.symbol_bits[k]}, is_float, options,
                                      scratch.coder, out + block.stored_size);
      block.stored_size += block.streams[k].size;
    }
  }
  block.data = out;
  if (block.stored_size >= raw_bytes) {
    block.transform = Transform::kIdentity;
    block.planes = planes_of(block.transform, dtype);
    block.streams[0] = {Coder::kRaw, raw_bytes};
    block.stored_size = raw_bytes;
    block.stored_checksum = block.raw_checksum;
    block.data = raw;
  } else {
    block.stored_checksum = xxh3_64(out, block.stored_size);
  }
  return block;
}

}  // namespace mithril
