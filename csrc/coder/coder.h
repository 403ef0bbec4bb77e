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

namespace mithril {

// `count` symbols of `bits` bits, one byte each up to 8 bits, else bits / 8 bytes each.
struct Plane {
  const uint8_t* symbols;
  uint64_t count;
  uint32_t bits;

  uint64_t bytes() const { return count * ((bits + 7) / 8); }
};

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

// Memory of one thread for the rans coder; grows to a little more than twice the largest plane.
class RansScratch {
 public:
  uint8_t* take(uint64_t size);  // contents are undefined; valid until the next call

 private:
  std::unique_ptr<Buffer> buffer_;
};

// What one thread needs to decode with any coder; reused.
struct CoderScratch {
  ZstdContext zstd;
  RansScratch rans;
};

// Size of the raw stream of a plane.
constexpr uint64_t raw_stream_size(uint64_t count, uint32_t bits) {
  return bits < 8 ? count / 8 * bits + (count % 8 * bits + 7) / 8 : count * (bits / 8);
}

// How often each value of a byte occurs: in all bytes of a small plane, else in one of 16.
struct ByteCounts {
  std::array<uint32_t, 256> of{};
  uint64_t total = 0;
};
ByteCounts count_bytes(const Plane& plane) noexcept;

// Bits that an order-0 code of the bytes of a plane would take; integers only, so the same everywhere.
uint64_t estimate_bits(const Plane& plane, const ByteCounts& counts) noexcept;

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

// Only planes of up to 8 bits. 0 when the stream would not fit in `capacity` bytes, or when the counts say so.
// `max_table` (2 to 32) bounds the table that is made of the counts: one of up to 16 entries codes faster.
uint64_t encode_rans(const Plane& plane, const ByteCounts& counts, uint32_t max_table, uint8_t* out, uint64_t capacity,
                     RansScratch& scratch);
void decode_rans(ByteView stream, const Plane& shape, uint8_t* out, RansScratch& scratch);

// By the coder that a table names; also refuses symbols with more bits than the plane has.
void decode(Coder coder, ByteView stream, const Plane& shape, uint8_t* out, CoderScratch& scratch);

// Version of the zstd library in use: major·10000 + minor·100 + patch.
uint32_t zstd_version() noexcept;

}  // namespace mithril
