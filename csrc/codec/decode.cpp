#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "csrc/base/checksum.h"
#include "csrc/base/stream_copy.h"
#include "csrc/codec/codec.h"
#include "csrc/codec/key_rows.h"
#include "csrc/transform/transform.h"

namespace mithril {

static constexpr uint64_t kStreamFrom = 256 << 10;  // raw bytes of a block

static std::string block_name(const std::string& name, uint64_t number, const BlockRecord& block) {
  return name + ": block " + std::to_string(number) + " (offset " + std::to_string(block.offset) + ")";
}

Table read_table(ByteView bytes, const Entry& entry, const std::string& name) {
  const DTypeInfo& dtype = info(entry.dtype);
  uint64_t elements = entry.numel();
  Table table = read_table(
      bytes, entry.table_offset, entry.frame_offset, elements, dtype.element_bytes,
      [&](Transform transform, uint16_t parameter) { return planes_of(transform, dtype, parameter); }, name);
  for (uint64_t i = 0; i < table.blocks.size(); i++) {
    const BlockRecord& b = table.blocks[i];
    const Recipe& r = table.recipes[b.recipe];
    uint64_t symbols =
        symbols_of(r.transform, dtype, std::min(table.block_elements, elements - i * table.block_elements));
    for (uint32_t k = 0; k < r.planes.count; k++)
      if (table.streams[b.first_stream + k].size > raw_stream_size(symbols, r.planes.symbol_bits[k]))
        throw_corrupt(block_name(name, i, b) + ": stream_size " +
                      std::to_string(table.streams[b.first_stream + k].size) + " is more than the plane needs raw");
  }
  if (tensor_content_id(entry, table.block_elements, table.raw_checksums()) != entry.content_id)
    throw_corrupt(name + ": content_id does not match the table (offset " + std::to_string(entry.table_offset) + ")");
  return table;
}

bool is_stored_raw(const Table& table, uint64_t number) {
  const BlockRecord& block = table.blocks[number];
  return table.recipes[block.recipe].transform == Transform::kIdentity &&
         table.streams[block.first_stream].coder == Coder::kRaw;
}

void check_stored(const BlockRecord& block, ByteView stored, uint64_t number, const std::string& name) {
  if (xxh3_64(stored.data, stored.size) != block.stored_checksum)
    throw_corrupt(block_name(name, number, block) + ": stored_checksum does not match");
}

namespace {

// The symbols of one plane, piece by piece.
class PlaneReader {
 public:
  // `whole` has room for all symbols, `piece` for kPiece of them and kRansMaxLanes before; both are used or not.
  void begin(Coder coder, ByteView stream, const Plane& shape, Context context, uint8_t* whole, uint8_t* piece,
             CoderScratch& scratch, RansScratch& rans) {
    shape_ = shape, stream_ = stream.data;
    if (coder == Coder::kRaw) {
      if (stream.size != raw_stream_size(shape.count, shape.bits)) return decode_raw(stream, shape, whole);  // throws
      source_ = shape.bits == 8 ? Source::kInPlace : Source::kPacked;
      to_ = piece;
    } else if (coder == Coder::kRans || coder == Coder::kContextRans) {
      source_ = Source::kRans;
      rans_.emplace(coder, stream, shape, context.kind != ContextKind::kNone, rans, rans_kernels(isa()));
      to_ = piece;
      lane_context_ = context.kind == ContextKind::kLane && rans_->has_classes();
      old_ = coder == Coder::kRans;
      if (lane_context_) std::memset(piece - kRansMaxLanes, 0, kRansMaxLanes);
    } else {
      source_ = Source::kWhole;
      to_ = whole;
      if (coder == Coder::kConstant && shape.count > kPiece) {
        source_ = Source::kConstant;
        shape_.count = kPiece;
        to_ = piece;
      }
      decode(coder, stream, shape_, nullptr, to_, scratch);
    }
  }

  // The next `count` symbols, the first of which is number `at`; they stay until the next call.
  const uint8_t* next(uint64_t at, uint64_t count, const uint8_t* context) {
    switch (source_) {
      case Source::kInPlace: return stream_ + at;
      case Source::kWhole: return to_ + at;
      case Source::kConstant: return to_;
      case Source::kPacked:
        decode_raw({stream_ + at / 8 * shape_.bits, raw_stream_size(count, shape_.bits)}, {nullptr, count, shape_.bits},
                   to_);
        return to_;
      case Source::kRans: break;
    }
    if (lane_context_) {
      if (at) std::memcpy(to_ - kRansMaxLanes, to_ + kPiece - kRansMaxLanes, kRansMaxLanes);
      context = to_ - rans_->lanes();
    }
    rans_->next(to_, context ? context : to_, count);
    if (old_) check_bits(to_, count, shape_.bits);
    return to_;
  }
  // Bytes of the stream from symbol number `at` on, when they are the symbols themselves, packed or not; else null.
  const uint8_t* raw_at(uint64_t at) const {
    bool raw = source_ == Source::kInPlace || source_ == Source::kPacked;
    return raw ? stream_ + at / 8 * shape_.bits : nullptr;
  }
  // Null when there is none, or its symbols have to be checked.
  RansDecoding* rans() { return rans_ && !old_ ? &*rans_ : nullptr; }
  void finish() const {
    if (rans_) rans_->finish();
  }

 private:
  enum class Source { kInPlace, kPacked, kConstant, kWhole, kRans } source_ = Source::kWhole;
  Plane shape_{};
  const uint8_t* stream_ = nullptr;
  uint8_t* to_ = nullptr;
  bool lane_context_ = false, old_ = false;
  std::optional<RansDecoding> rans_;
};

}  // namespace

static void join_piece(const Recipe& recipe, const DTypeInfo& dtype, uint32_t first, const uint8_t* const* planes,
                       uint64_t count, uint8_t* out) {
  if (recipe.transform == Transform::kFloatKeys || recipe.transform == Transform::kNonzeroKeys)
    join_keys(dtype, KeyForm::of(recipe.parameter), planes + first, count, out);
  else
    join(recipe.transform, dtype, planes, count, out);
}

// Whether pieces can go through the kernels of rows: no contexts, and all planes raw but for the key.
static KeyRowKernels row_kernels(const Recipe& recipe, const DTypeInfo& dtype, uint32_t first, uint32_t high,
                                 std::array<PlaneReader, kMaxPlanes>& readers) {
  const uint32_t count = recipe.planes.count, key = count - 1;
  const KeyForm form = KeyForm::of(recipe.parameter);
  bool wide = key_bits(dtype, form.joined) > 8, fits = readers[key].rans() && (!wide || high < kMaxPlanes);
  for (uint32_t k = first; k < count; k++) {
    fits = fits && recipe.contexts[k].kind == ContextKind::kNone;
    if (k != high && k != key) fits = fits && readers[k].raw_at(0);
  }
  return fits ? key_row_kernels(isa(), key_layout(dtype), form.joined) : KeyRowKernels{};
}

// Decodes the planes from number `first` on, whose streams begin at `at`, and joins them to `n` components. `hash`,
// when not null, takes them in while they are at hand; then a large result goes to memory past the caches.
static void decode_planes(const Recipe& recipe, const StreamRecord* streams, const uint8_t* at, uint32_t first,
                          uint64_t n, const DTypeInfo& dtype, uint8_t* out, Scratch& scratch, Xxh3* hash) {
  const uint32_t count = recipe.planes.count;
  const bool keys = recipe.transform == Transform::kFloatKeys || recipe.transform == Transform::kNonzeroKeys;
  std::array<PlaneReader, kMaxPlanes> readers;
  for (uint32_t k = first; k < count; at += streams[k++].size) {
    uint8_t* piece = scratch.pieces.data() + k * (kPiece + kRansMaxLanes) + kRansMaxLanes;
    readers[k].begin(streams[k].coder, {at, streams[k].size}, {nullptr, n, recipe.planes.symbol_bits[k]},
                     recipe.contexts[k], scratch.planes.data() + (k - first) * n, piece, scratch.coder,
                     scratch.coder.rans[k]);
  }
  // key_high is nearly always zero: then the joining is simpler.
  uint32_t high = keys && key_bits(dtype, KeyForm::of(recipe.parameter).joined) > 8 ? count - 2 : kMaxPlanes;
  if (high < kMaxPlanes && !(streams[high].coder == Coder::kConstant && n && *readers[high].next(0, 1, nullptr) == 0))
    high = kMaxPlanes;
  const KeyRowKernels rows = keys ? row_kernels(recipe, dtype, first, high, readers) : KeyRowKernels{};
  const bool streaming = hash && n * dtype.component_bytes >= kStreamFrom;
  const uint8_t *symbols[kMaxPlanes], *planes[kMaxPlanes];
  for (uint64_t begin = 0; begin < n; begin += kPiece) {
    uint64_t size = std::min(kPiece, n - begin);
    uint64_t bytes = size * dtype.component_bytes;
    uint8_t* to = out + begin * dtype.component_bytes;
    uint8_t* joined = streaming ? scratch.joined.data() : to;
    uint64_t done = 0;
    if (rows.decode) {
      for (uint32_t k = first; k < count; k++) planes[k - first] = readers[k].raw_at(begin);
      done = readers[count - 1].rans()->next_rows(
          size, [&](const RansTable& table, uint32_t lanes, uint64_t n, RansDecoder& decoder) {
            return rows.decode(table, lanes, recipe.planes.symbol_bits[first], KeyForm::of(recipe.parameter).base,
                               planes, n, joined, streaming ? to : nullptr, decoder);
          });
    }
    if (done < size) {
      for (uint32_t k = count; k-- > first;) {  // a context is a later plane
        const Context& context = recipe.contexts[k];
        const uint8_t* of = context.kind == ContextKind::kPlane ? symbols[context.plane] : nullptr;
        symbols[k] = readers[k].next(begin + done, size - done, of);
        planes[k] = k == high ? nullptr : symbols[k];
      }
      join_piece(recipe, dtype, first, planes, size - done, joined + done * dtype.component_bytes);
    }
    if (hash) hash->add(joined, bytes);
    if (streaming) {
      uint64_t from = 0;  // the kernels of rows have streamed whole lines of what they have decoded
      if (done > 0) {
        uint64_t head = -reinterpret_cast<uintptr_t>(to) % 64;
        std::memcpy(to, joined, head);
        from = head + (done * dtype.component_bytes - head) / 64 * 64;
      }
      stream_copy(to + from, joined + from, bytes - from);
    }
  }
  if (streaming) finish_streaming();
  for (uint32_t k = first; k < count; k++) readers[k].finish();
}

void decode_block(const Table& table, uint64_t number, ByteView stored, const DTypeInfo& dtype, uint64_t elements,
                  uint8_t* out, Scratch& scratch, const std::string& name) {
  const BlockRecord& block = table.blocks[number];
  const Recipe& recipe = table.recipes[block.recipe];
  uint64_t raw_bytes = elements * dtype.element_bytes, raw_checksum = 0;
  check_stored(block, stored, number, name);
  try {
    uint64_t symbols = symbols_of(recipe.transform, dtype, elements);
    const StreamRecord* streams = &table.streams[block.first_stream];
    if (recipe.transform == Transform::kIdentity) {
      Plane shape{nullptr, symbols, recipe.planes.symbol_bits[0]};
      if (!(streams[0].coder == Coder::kRaw && out == stored.data))
        decode(streams[0].coder, {stored.data, streams[0].size}, shape, nullptr, out, scratch.coder);
      // A block stored raw was compared as a whole already, if its two checksums agree.
      raw_checksum = is_stored_raw(table, number) ? block.stored_checksum : xxh3_64(out, raw_bytes);
    } else if (recipe.transform == Transform::kNonzeroKeys) {
      uint8_t *mask = scratch.mask.data(), *nonzero = scratch.nonzero.data();
      decode(streams[0].coder, {stored.data, streams[0].size}, {nullptr, symbols, 2}, nullptr, mask, scratch.coder);
      uint64_t n = 0;
      uint8_t three = 0;
      for (uint64_t i = 0; i < symbols; i++) n += mask[i] & kNonzero, three |= mask[i] & mask[i] >> 1;
      if (three) throw_corrupt("the mask has a symbol 3");
      for (uint32_t k = 1; k < recipe.planes.count; k++)
        if (streams[k].size > raw_stream_size(n, recipe.planes.symbol_bits[k]))
          throw_corrupt("stream_size " + std::to_string(streams[k].size) + " of plane " + std::to_string(k) +
                        " is more than it needs raw");
      decode_planes(recipe, streams, stored.data + streams[0].size, 1, n, dtype, nonzero, scratch, nullptr);
      spread_nonzero(nonzero, mask, symbols, dtype.component_bytes, out);
      raw_checksum = xxh3_64(out, raw_bytes);
    } else {
      Xxh3 hash;
      decode_planes(recipe, streams, stored.data, 0, symbols, dtype, out, scratch, &hash);
      raw_checksum = hash.end();
    }
  } catch (const Error& e) {
    throw_corrupt(block_name(name, number, block) + ": " + e.what());
  }
  if (raw_checksum != block.raw_checksum)
    throw_corrupt(block_name(name, number, block) + ": raw_checksum does not match");
}

}  // namespace mithril
