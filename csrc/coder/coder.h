// encode: the symbols of a plane → a stream; decode: back, exactly. Coders know symbols, never dtypes. Streams:
// docs/format.md 6.4.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "csrc/base/buffer_pool.h"
#include "csrc/base/bytes.h"
#include "csrc/base/ids.h"
#include "csrc/coder/plane.h"
#include "csrc/coder/rans.h"

namespace mithril {

// The zstd contexts of one thread; reused, since making one costs more than coding a block.
class ZstdContext {
 public:
  ZstdContext();
  ~ZstdContext();

 private:
  friend uint64_t encode_zstd(const Plane&, int, uint8_t*, uint64_t, ZstdContext&);
  friend void decode_zstd(ByteView, const Plane&, uint8_t*, ZstdContext&);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What one thread needs to code; reused. Planes that are in work together have a RansScratch each.
struct CoderScratch {
  ZstdContext zstd;
  std::array<RansScratch, kMaxPlanes> rans;
  Buffer palette{kMaxBlockBytes};  // the indices of a plane
};

// Size of the raw stream of a plane.
constexpr uint64_t raw_stream_size(uint64_t count, uint32_t bits) {
  return bits < 8 ? count / 8 * bits + (count % 8 * bits + 7) / 8 : count * (bits / 8);
}

// The encoders write the stream to `out`, which does not overlap the symbols, and return its size. The decoders write
// exactly the symbols that `shape` (symbols ignored) asks for to `out`, and throw corrupt when the stream yields
// anything else; they never read beyond the stream or write beyond shape.bytes().
uint64_t encode_raw(const Plane& plane, uint8_t* out) noexcept;
void decode_raw(ByteView stream, const Plane& shape, uint8_t* out);

bool is_constant(const Plane& plane) noexcept;  // at least one symbol, and all equal
uint64_t encode_constant(const Plane& plane, uint8_t* out) noexcept;
void decode_constant(ByteView stream, const Plane& shape, uint8_t* out);

// 0 when the frame would not fit in `capacity` bytes; levels 1 to 22.
uint64_t encode_zstd(const Plane& plane, int level, uint8_t* out, uint64_t capacity, ZstdContext& context);
void decode_zstd(ByteView stream, const Plane& shape, uint8_t* out, ZstdContext& context);

// Planes whose symbols take more than a byte and have at most 256 values: a palette, and the indices coded as a plane.
// 0 when there are more values, or the stream would not fit in `capacity` bytes.
uint64_t encode_palette(const Plane& plane, uint8_t* out, uint64_t capacity, CoderScratch& scratch);
void decode_palette(ByteView stream, const Plane& shape, uint8_t* out, CoderScratch& scratch);

// By the coder that a table names; also refuses symbols with more bits than the plane has. `context`, null for a plane
// without one, holds a byte for each symbol.
void decode(Coder coder, ByteView stream, const Plane& shape, const uint8_t* context, uint8_t* out,
            CoderScratch& scratch);
void check_bits(const uint8_t* symbols, uint64_t count, uint32_t bits);  // throws corrupt

// Version of the zstd library in use: major·10000 + minor·100 + patch.
uint32_t zstd_version() noexcept;

}  // namespace mithril
