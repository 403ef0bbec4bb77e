// rans (docs/format.md 6.5): the table from the counts, the layout of the stream, and its checks; the loops are in
// rans_kernels_*.cpp.
#include "csrc/coder/rans.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "csrc/base/simd.h"
#include "csrc/coder/log2.h"

namespace mithril {

static constexpr uint64_t kHeader = 16;
static constexpr uint32_t kRare = 15;          // values that an escape names in a nibble; 15 itself says "in full"
static constexpr uint32_t kEscapeBelow = 600;  // a value rarer than 1 in so many becomes an escape
static constexpr uint64_t kManySymbols =
    1 << 17;  // from here on 128 lanes weigh less (0.008 bits) than they gain in speed

namespace scalar {
extern const RansKernels kRansKernels;
}
#ifdef MITHRIL_SIMD
namespace avx2 {
extern const RansKernels kRansKernels;
}
namespace avx512 {
extern const RansKernels kRansKernels;
}
#endif

const RansKernels& rans_kernels(Isa isa) {
#ifdef MITHRIL_SIMD
  if (isa == Isa::kAvx512) return avx512::kRansKernels;
  if (isa == Isa::kAvx2) return avx2::kRansKernels;
#endif
  static_cast<void>(isa);
  return scalar::kRansKernels;
}

uint8_t* RansScratch::take(uint64_t size) {
  if (!buffer_ || buffer_->capacity() < size) buffer_.reset(), buffer_ = std::make_unique<Buffer>(size);
  return buffer_->data();
}

// ---- The table

struct Counted {
  uint32_t count;
  uint8_t value;
};

// The commonest values, `most` at most: by falling count, then by value.
static uint32_t commonest(const std::array<uint32_t, 256>& counts, uint32_t most, std::array<Counted, 256>& sorted) {
  uint32_t m = 0;
  for (uint32_t v = 0; v < 256; v++)
    if (counts[v]) sorted[m++] = {counts[v], static_cast<uint8_t>(v)};
  most = std::min(most, m);
  std::partial_sort(sorted.begin(), sorted.begin() + most, sorted.begin() + m, [](const Counted& a, const Counted& b) {
    return a.count != b.count ? a.count > b.count : a.value < b.value;
  });
  return most;
}

// Rounds shares of `total` to 256ths; then single units move where they cost least. log2((f + 1) / f) is taken as
// 2 / (2f + 1).
static void quantise(const uint64_t* weights, uint64_t total, uint32_t size, uint8_t* frequencies) {
  uint32_t f[kRansMaxTable], sum = 0;
  for (uint32_t k = 0; k < size; k++) {
    f[k] = std::max<uint32_t>(1, static_cast<uint32_t>((weights[k] * 512 / total + 1) / 2));
    sum += f[k];
  }
  for (; sum > 256; sum--) {
    uint32_t best = size;
    for (uint32_t k = 0; k < size; k++)
      if (f[k] > 1 && (best == size || weights[k] * (2 * f[best] - 1) < weights[best] * (2 * f[k] - 1))) best = k;
    f[best]--;
  }
  for (; sum < 256; sum++) {
    uint32_t best = 0;
    for (uint32_t k = 1; k < size; k++)
      if (weights[k] * (2 * f[best] + 1) > weights[best] * (2 * f[k] + 1)) best = k;
    f[best]++;
  }
  for (uint32_t k = 0; k < size; k++) frequencies[k] = static_cast<uint8_t>(f[k]);
}

// All that follows from size, values and frequencies.
static void complete(RansTable& table) {
  uint32_t escape = table.size - 1, start = 0;
  std::memset(table.index_of_value, static_cast<int>(escape), sizeof table.index_of_value);
  for (uint32_t k = 0; k < table.size; k++) {
    uint32_t f = table.frequency[k], reciprocal = std::min(65535u, 65536 / f);
    table.start[k] = static_cast<uint8_t>(start);
    table.reciprocal_low[k] = static_cast<uint8_t>(reciprocal);
    table.reciprocal_high[k] = static_cast<uint8_t>(reciprocal >> 8);
    std::memset(table.index_of_slot + start, static_cast<int>(k), f);
    if (k < escape) table.index_of_value[table.value[k]] = static_cast<uint8_t>(k);
    start += f;
  }
}

static uint64_t stream_size(uint32_t lanes, uint32_t table_size, uint64_t escapes, uint64_t raw_escapes,
                            uint64_t bytes) {
  return kHeader + 2 * table_size - 1 + 2 * lanes + (escapes ? kRare : 0) + (escapes + 1) / 2 + raw_escapes + bytes;
}

// Fills the table from the counts. Returns the size that the stream will have about, or ~0 for a plane that is too flat
// to gain anything.
static uint64_t choose_table(const Plane& plane, const ByteCounts& counts, uint32_t max_table, uint32_t lanes,
                             RansTable& table) {
  uint64_t total = std::max<uint64_t>(counts.total, 1);
  bool flat = *std::max_element(counts.of.begin(), counts.of.end()) * uint64_t{64} <= total;
  std::array<Counted, 256> sorted;
  uint32_t most = commonest(counts.of, max_table - 1 + kRare, sorted), k = 0;
  uint64_t weights[kRansMaxTable], escapes = counts.total, rare = 0;
  for (; k < max_table - 1 && k < most && sorted[k].count * uint64_t{kEscapeBelow} > total; k++) {
    table.value[k] = sorted[k].value;
    weights[k] = 4 * uint64_t{sorted[k].count};
    escapes -= sorted[k].count;
  }
  for (uint32_t i = k; i < std::min(most, k + kRare); i++) rare += sorted[i].count;
  if (k == 0) weights[k++] = 4;                     // no symbols at all
  weights[k] = std::max<uint64_t>(4 * escapes, 1);  // a sample without escapes does not say that there are none
  table.size = k + 1;
  quantise(weights, 4 * total, table.size, table.frequency);
  complete(table);
  if (flat && counts.total > 0) return ~uint64_t{0};
  uint64_t bits_q16 = 0;
  for (uint32_t i = 0; i <= k; i++)
    bits_q16 += (i < k ? weights[i] / 4 : escapes) * ((8 << 16) - log2_q16(table.frequency[i]));
  uint64_t scale = plane.count, raw_escapes = (escapes - rare) * scale / total;
  // A state is stored in 16 bits, of which about 4 carry symbols.
  return stream_size(lanes, table.size, escapes * scale / total, raw_escapes, (bits_q16 >> 16) * scale / total / 8) -
         lanes / 2;
}

// ---- Escapes

struct Escapes {
  std::array<uint8_t, kRare> rare{};
  std::array<uint8_t, 256> nibble_of;
  uint64_t raw = 0;  // how many stand in full
};

static Escapes count_escapes(const uint8_t* escapes, uint64_t n) {
  Escapes e;
  std::array<uint32_t, 256> counts{};
  for (uint64_t i = 0; i < n; i++) counts[escapes[i]]++;
  std::array<Counted, 256> sorted;
  uint32_t rare = commonest(counts, kRare, sorted);
  e.nibble_of.fill(kRare);
  e.raw = n;
  for (uint32_t k = 0; k < rare; k++) {
    e.rare[k] = sorted[k].value;
    e.nibble_of[sorted[k].value] = static_cast<uint8_t>(k);
    e.raw -= sorted[k].count;
  }
  return e;
}

// Writes rare, nibbles and raw escapes; returns where they end.
static uint8_t* pack_escapes(const Escapes& e, const uint8_t* escapes, uint64_t n, uint8_t* out) {
  if (n == 0) return out;
  out = std::copy(e.rare.begin(), e.rare.end(), out);
  uint8_t* raw = out + (n + 1) / 2;
  for (uint64_t i = 0; i < n; i++) {
    uint8_t v = e.nibble_of[escapes[i]];
    i % 2 ? out[i / 2] |= static_cast<uint8_t>(v << 4) : out[i / 2] = v;
    if (v == kRare) *raw++ = escapes[i];
  }
  return raw;
}

static void unpack_escapes(ByteView rare, ByteView nibbles, ByteView raw, uint64_t n, uint8_t* out) {
  uint64_t used = 0;
  for (uint64_t i = 0; i < n; i++) {
    uint32_t v = nibbles.data[i / 2] >> i % 2 * 4 & 15;
    if (v < kRare)
      out[i] = rare.data[v];
    else if (used < raw.size)
      out[i] = raw.data[used++];
    else
      throw_corrupt("rans stream: more escapes stand in full than raw_escape_count");
  }
  if (used != raw.size) throw_corrupt("rans stream: fewer escapes stand in full than raw_escape_count");
  if (n % 2 && nibbles.data[n / 2] >> 4) throw_corrupt("rans stream: the unused half of nibbles is not zero");
}

// ---- The stream

static uint8_t* put(uint8_t* out, const void* data, uint64_t size) {
  std::memcpy(out, data, size);
  return out + size;
}

uint64_t encode_rans(const Plane& plane, const ByteCounts& counts, uint32_t max_table, uint8_t* out, uint64_t capacity,
                     RansScratch& scratch, const RansKernels& kernels) {
  if (plane.count > UINT32_MAX / 2) return 0;
  uint32_t lanes = plane.count < kManySymbols ? 64 : 128;
  RansTable table{};
  uint64_t estimate = choose_table(plane, counts, max_table, lanes, table);
  if (estimate > capacity && (estimate != ~uint64_t{0} || capacity < plane.count)) return 0;

  // Both lists grow downwards from the ends of their halves.
  uint64_t rows = plane.count / lanes, tail = plane.count % lanes, half = plane.count + 2 * kRansSlack;
  uint8_t* memory = scratch.take(2 * half);
  RansEncoder encoder;
  uint8_t* bytes_end = encoder.bytes = memory + half;
  uint8_t* escapes_end = encoder.escapes = memory + 2 * half;
  std::memset(encoder.states.high, 1, sizeof encoder.states.high);
  std::memset(encoder.states.low, 0, sizeof encoder.states.low);
  if (tail) {
    uint8_t row[kRansMaxLanes];
    std::memset(put(row, plane.symbols + rows * lanes, tail), table.value[0], lanes - tail);
    kernels.encode(table, lanes, row, 1, encoder);
  }
  kernels.encode(table, lanes, plane.symbols, rows, encoder);

  auto escape_count = static_cast<uint32_t>(escapes_end - encoder.escapes);
  auto rans_size = static_cast<uint32_t>(bytes_end - encoder.bytes);
  Escapes escapes = count_escapes(encoder.escapes, escape_count);
  auto raw_escape_count = static_cast<uint32_t>(escapes.raw);
  uint64_t size = stream_size(lanes, table.size, escape_count, raw_escape_count, rans_size);
  if (size > capacity) return 0;
  const uint8_t head[4] = {static_cast<uint8_t>(lanes), static_cast<uint8_t>(table.size), 0, 0};
  out = put(out, head, 4);
  for (uint32_t count : {escape_count, raw_escape_count, rans_size}) out = put(out, &count, 4);
  out = put(out, table.value, table.size - 1);
  out = put(out, table.frequency, table.size);
  out = put(out, encoder.states.high, lanes);
  out = put(out, encoder.states.low, lanes);
  out = pack_escapes(escapes, encoder.escapes, escape_count, out);
  put(out, encoder.bytes, rans_size);
  return size;
}

static RansTable read_table(ByteCursor& c, uint32_t size) {
  RansTable table{};
  table.size = size;
  std::array<bool, 256> seen{};
  std::memcpy(table.value, c.bytes(size - 1, "values").data, size - 1);
  for (uint32_t k = 0; k < size - 1; k++) {
    if (seen[table.value[k]]) c.fail("values", std::to_string(table.value[k]) + " is there twice");
    seen[table.value[k]] = true;
  }
  std::memcpy(table.frequency, c.bytes(size, "frequencies").data, size);
  uint32_t sum = 0;
  for (uint32_t k = 0; k < size; k++) {
    if (table.frequency[k] == 0) c.fail("frequencies", "have a zero");
    sum += table.frequency[k];
  }
  if (sum != 256) c.fail("frequencies", "add up to " + std::to_string(sum) + ", not 256");
  complete(table);
  return table;
}

// Runs the kernel over the bytes where they lie, and over the last of them in a copy with slack, so that no load leaves
// the stream.
class Rows {
 public:
  Rows(const RansKernels& kernels, const RansTable& table, uint32_t lanes, ByteView bytes, RansDecoder& decoder)
      : kernels_(kernels), table_(table), lanes_(lanes), bytes_(bytes), decoder_(decoder) {
    decoder.bytes = bytes.data;
    if (bytes.size < lanes)
      use_copy();
    else
      decoder.bytes_limit = bytes.data + bytes.size - lanes;
  }
  void decode(uint8_t* out, uint64_t rows) {
    uint64_t done = kernels_.decode(table_, lanes_, out, rows, decoder_);
    if (done < rows && !copied_ && decoder_.escapes <= decoder_.escapes_limit) {  // so less than a row of bytes is left
      use_copy();
      done += kernels_.decode(table_, lanes_, out + done * lanes_, rows - done, decoder_);
    }
    if (done < rows) throw_corrupt("rans stream: bytes or escapes end too early");
  }
  bool used_up() const { return decoder_.bytes == (copied_ ? decoder_.bytes_limit : bytes_.data + bytes_.size); }

 private:
  void use_copy() {
    uint64_t left = static_cast<uint64_t>(bytes_.data + bytes_.size - decoder_.bytes);
    std::memcpy(copy_, decoder_.bytes, left);
    decoder_.bytes = copy_, decoder_.bytes_limit = copy_ + left;
    copied_ = true;
  }

  const RansKernels& kernels_;
  const RansTable& table_;
  uint32_t lanes_;
  ByteView bytes_;
  RansDecoder& decoder_;
  bool copied_ = false;
  uint8_t copy_[kRansMaxLanes + kRansSlack] = {};
};

void decode_rans(ByteView stream, const Plane& shape, uint8_t* out, RansScratch& scratch, const RansKernels& kernels) {
  if (shape.bits > 8) throw_corrupt("rans stream: symbols of " + std::to_string(shape.bits) + " bits");
  ByteCursor c(stream, "rans stream", 0);
  uint32_t lanes = c.u8("lanes");
  if (lanes != 64 && lanes != 128) c.fail("lanes", std::to_string(lanes) + " is not 64 or 128");
  uint32_t size = c.u8("table_size");
  if (size < 2 || size > kRansMaxTable) c.fail("table_size", std::to_string(size) + " is not 2 to 32");
  c.zeros(2, "reserved");
  uint64_t escape_count = c.u32("escape_count");
  if (escape_count > shape.count)
    c.fail("escape_count",
           std::to_string(escape_count) + " is more than the " + std::to_string(shape.count) + " symbols");
  uint64_t raw_escape_count = c.u32("raw_escape_count");
  uint64_t rans_size = c.u32("rans_size");
  RansTable table = read_table(c, size);
  RansDecoder decoder;
  std::memcpy(decoder.states.high, c.bytes(lanes, "high").data, lanes);
  std::memcpy(decoder.states.low, c.bytes(lanes, "low").data, lanes);
  if (std::memchr(decoder.states.high, 0, lanes)) c.fail("high", "has a state below 256");
  ByteView rare = c.bytes(escape_count ? kRare : 0, "rare");
  ByteView nibbles = c.bytes((escape_count + 1) / 2, "nibbles");
  ByteView raw_escapes = c.bytes(raw_escape_count, "raw_escapes");
  ByteView bytes = c.bytes(rans_size, "bytes");
  if (c.left()) throw_corrupt("rans stream: " + std::to_string(c.left()) + " bytes too long");

  uint8_t* escapes = scratch.take(escape_count + kRansSlack);
  unpack_escapes(rare, nibbles, raw_escapes, escape_count, escapes);
  std::memset(escapes + escape_count, 0, kRansSlack);
  decoder.escapes = escapes, decoder.escapes_limit = escapes + escape_count;

  Rows rows(kernels, table, lanes, bytes, decoder);
  rows.decode(out, shape.count / lanes);
  if (uint64_t tail = shape.count % lanes) {
    for (uint64_t i = tail; i < lanes; i++)
      if (table.index_of_slot[decoder.states.low[i]] == size - 1) throw_corrupt("rans stream: padding is an escape");
    uint8_t row[kRansMaxLanes];
    rows.decode(row, 1);
    put(out + shape.count - tail, row, tail);
  }
  if (!rows.used_up() || decoder.escapes != decoder.escapes_limit)
    throw_corrupt("rans stream: bytes or escapes are left over");
  for (uint32_t i = 0; i < lanes; i++)
    if (decoder.states.high[i] != 1 || decoder.states.low[i] != 0)
      throw_corrupt("rans stream: the state of lane " + std::to_string(i) + " does not end as it began");
}

uint64_t encode_rans(const Plane& plane, const ByteCounts& counts, uint32_t max_table, uint8_t* out, uint64_t capacity,
                     RansScratch& scratch) {
  return encode_rans(plane, counts, max_table, out, capacity, scratch, rans_kernels(isa()));
}

void decode_rans(ByteView stream, const Plane& shape, uint8_t* out, RansScratch& scratch) {
  decode_rans(stream, shape, out, scratch, rans_kernels(isa()));
}

}  // namespace mithril
