// The rans streams (docs/format.md 6.5 and 6.6): layout and checks; the loops are in rans_kernels_*.cpp, the choice of
// tables in rans_model.cpp.
#include "csrc/coder/rans.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "csrc/base/checked.h"
#include "csrc/base/simd.h"
#include "csrc/coder/coder.h"
#include "csrc/coder/rans_table.h"

namespace mithril {

static constexpr uint64_t kHeader = 20;  // of context_rans
static constexpr uint32_t kRare = 15;    // values that an escape names in a nibble; 15 itself leads to the next list
static constexpr uint32_t kSegments = 0, kClasses = 1;

namespace scalar {
extern const RansKernels kRansKernels;
}
#ifdef MITHRIL_SIMD
namespace ssse3 {
extern const RansKernels kRansKernels;
}
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
  if (isa == Isa::kSsse3) return ssse3::kRansKernels;
#endif
  static_cast<void>(isa);
  return scalar::kRansKernels;
}

uint8_t* RansScratch::take(uint64_t size) {
  if (!buffer_ || buffer_->capacity() < size) buffer_.reset(), buffer_ = std::make_unique<Buffer>(size);
  return buffer_->data();
}

// ---- The table

static void complete_entries(RansTable& table) {
  uint32_t escape = table.size - 1;
  std::memset(table.index_of_value, static_cast<int>(escape), sizeof table.index_of_value);
  for (uint32_t k = 0; k < table.size; k++) {
    uint32_t reciprocal = std::min(65535u, 65536u / table.frequency[k]);
    table.reciprocal_low[k] = static_cast<uint8_t>(reciprocal);
    table.reciprocal_high[k] = static_cast<uint8_t>(reciprocal >> 8);
    if (k < escape) table.index_of_value[table.value[k]] = static_cast<uint8_t>(k);
  }
  table.small_frequencies = *std::max_element(table.frequency, table.frequency + table.size) < 128;
  table.contiguous = true;
  for (uint32_t k = 1; k < escape; k++) table.contiguous = table.contiguous && table.value[k] == table.value[0] + k;
}

static void complete_cells(RansTable& table) {
  table.uneven_count = 0;
  for (uint32_t c = 0; c < 16; c++) {
    const uint8_t* indices = table.index_of_turn + 16 * c;
    table.cell_base[c] = indices[0];
    table.cell_last[0][c] = table.cell_last[1][c] = 255;
    uint32_t changes = 0;
    bool even = true;
    for (uint32_t i = 1; i < 16; i++) {
      if (indices[i] == indices[i - 1]) continue;
      even = even && indices[i] == indices[i - 1] + 1 && changes < 2;
      if (even) table.cell_last[changes++][c] = static_cast<uint8_t>(16 * c + i - 1);
    }
    if (even) continue;
    table.uneven[table.uneven_count++] = static_cast<uint8_t>(c);
    table.cell_base[c] = 0, table.cell_last[0][c] = table.cell_last[1][c] = 255;
  }
}

void complete(RansTable& table) {
  complete_entries(table);
  for (uint32_t k = 0, start = 0; k < table.size; k++) {
    uint32_t end = start + table.frequency[k], low = (end + 1) / 2 - (start + 1) / 2;
    table.low_ranks[k] = static_cast<uint8_t>(low);
    table.low_start[k] = static_cast<uint8_t>((start + 1) / 2);
    table.high_start[k] = static_cast<uint8_t>(128 + start / 2 - low);
    std::memset(table.index_of_turn + start, static_cast<int>(k), end - start);
    start = end;
  }
  for (uint32_t u = 0; u < 256; u++) table.index_of_slot[u / 2 + u % 2 * 128] = table.index_of_turn[u];
  complete_cells(table);
}

void complete_together(RansTable& table) {
  complete_entries(table);
  for (uint32_t k = 0, start = 0; k < table.size; k++) {
    table.low_ranks[k] = table.frequency[k];
    table.low_start[k] = table.high_start[k] = static_cast<uint8_t>(start);
    std::memset(table.index_of_slot + start, static_cast<int>(k), table.frequency[k]);
    start += table.frequency[k];
  }
  for (uint32_t u = 0; u < 256; u++) table.index_of_turn[u] = table.index_of_slot[u / 2 + u % 2 * 128];
  complete_cells(table);
}

static void read_frequencies(ByteCursor& c, RansTable& table) {
  std::memcpy(table.frequency, c.bytes(table.size, "frequencies").data, table.size);
  uint32_t sum = 0;
  for (uint32_t k = 0; k < table.size; k++) {
    if (table.frequency[k] == 0) c.fail("frequencies", "have a zero");
    sum += table.frequency[k];
  }
  if (sum != 256) c.fail("frequencies", "add up to " + std::to_string(sum) + ", not 256");
}

// Values in ascending order: a first one, and a bit for each that may follow.
static void write_table(const RansTable& t, std::vector<uint8_t>& out) {
  if (t.size == 0) return out.resize(out.size() + 2);
  uint32_t entries = t.size - 1, first = t.value[0], length = (t.value[entries - 1] - first) / 8 + 1u;
  out.push_back(static_cast<uint8_t>(first));
  out.push_back(static_cast<uint8_t>(length));
  size_t bitmap = out.size();
  out.resize(bitmap + length);
  for (uint32_t k = 0; k < entries; k++) {
    uint32_t bit = t.value[k] - first;
    out[bitmap + bit / 8] |= static_cast<uint8_t>(1 << bit % 8);
  }
  out.insert(out.end(), t.frequency, t.frequency + t.size);
}

static void read_table(ByteCursor& c, uint32_t bits, bool may_be_verbatim, RansTable& table) {
  table = {};
  uint32_t first = c.u8("first_value"), length = c.u8("bitmap_size"), entries = 0;
  if (length == 0 && first == 0 && may_be_verbatim) return;
  if (length == 0 || length > 32) c.fail("bitmap_size", std::to_string(length) + " is not 1 to 32");
  const uint8_t* bitmap = c.bytes(length, "bitmap").data;
  if (!(bitmap[0] & 1) || bitmap[length - 1] == 0) c.fail("bitmap", "does not begin and end with a value");
  for (uint32_t bit = 0; bit < 8 * length; bit++) {
    if (!(bitmap[bit / 8] >> bit % 8 & 1)) continue;
    if (entries == kRansMaxTable - 1) c.fail("bitmap", "has more than 63 values");
    if ((first + bit) >> bits) c.fail("bitmap", "has a value of more than " + std::to_string(bits) + " bits");
    table.value[entries++] = static_cast<uint8_t>(first + bit);
  }
  table.size = entries + 1;
  read_frequencies(c, table);
  complete(table);
}

// The table of 6.5, whose values are in any order.
static void read_old_table(ByteCursor& c, uint32_t size, RansTable& table) {
  table = {};
  table.size = size;
  std::array<bool, 256> seen{};
  std::memcpy(table.value, c.bytes(size - 1, "values").data, size - 1);
  for (uint32_t k = 0; k < size - 1; k++) {
    if (seen[table.value[k]]) c.fail("values", std::to_string(table.value[k]) + " is there twice");
    seen[table.value[k]] = true;
  }
  read_frequencies(c, table);
  complete_together(table);
}

// ---- Escapes

// One level: the commonest values get a nibble, the others nibble 15 and a place in the next list. Appends rare values
// and nibbles to `out` and returns the next list.
static std::vector<uint8_t> write_escapes(const std::vector<uint8_t>& escapes, std::vector<uint8_t>& out) {
  std::vector<uint8_t> others;
  if (escapes.empty()) return others;
  std::array<uint32_t, 256> counts{};
  for (uint8_t e : escapes) counts[e]++;
  std::array<uint8_t, 256> order, nibble_of;
  uint32_t m = 0, rare = 0;
  for (uint32_t v = 0; v < 256; v++)
    if (counts[v]) order[m++] = static_cast<uint8_t>(v);
  rare = std::min(m, kRare);
  std::partial_sort(order.begin(), order.begin() + rare, order.begin() + m,
                    [&](uint8_t a, uint8_t b) { return counts[a] != counts[b] ? counts[a] > counts[b] : a < b; });
  nibble_of.fill(kRare);
  size_t at = out.size();
  out.resize(at + kRare + (escapes.size() + 1) / 2);
  for (uint32_t k = 0; k < rare; k++) out[at + k] = order[k], nibble_of[order[k]] = static_cast<uint8_t>(k);
  at += kRare;
  for (size_t i = 0; i < escapes.size(); i++) {
    uint8_t v = nibble_of[escapes[i]];
    out[at + i / 2] |= static_cast<uint8_t>(v << i % 2 * 4);
    if (v == kRare) others.push_back(escapes[i]);
  }
  return others;
}

struct EscapeList {
  ByteView rare, nibbles;
  uint64_t count;
};

static EscapeList read_escapes(ByteCursor& c, uint64_t count, const char* rare, const char* nibbles) {
  EscapeList list{c.bytes(count ? kRare : 0, rare), {}, count};
  list.nibbles = c.bytes((count + 1) / 2, nibbles);
  if (count % 2 && list.nibbles.data[count / 2] >> 4) c.fail(nibbles, "has an unused half that is not zero");
  return list;
}

// Fills out[0, list.count) from the nibbles and, where they say 15, from `others`.
static void unpack_escapes(const EscapeList& list, const uint8_t* others, uint64_t other_count, uint8_t* out) {
  uint64_t used = 0;
  for (uint64_t i = 0; i < list.count; i++) {
    uint32_t v = list.nibbles.data[i / 2] >> i % 2 * 4 & 15;
    if (v < kRare)
      out[i] = list.rare.data[v];
    else if (used < other_count)
      out[i] = others[used++];
    else
      throw_corrupt("rans stream: more escapes stand in full than are there");
  }
  if (used != other_count) throw_corrupt("rans stream: fewer escapes stand in full than are there");
}

// ---- Encoding

static uint8_t* put_bytes(uint8_t* out, const void* data, uint64_t size) {
  if (size) std::memcpy(out, data, size);
  return out + size;
}

RansEncoding::RansEncoding(uint64_t count, RansScratch& scratch, const RansKernels& kernels)
    : kernels_(kernels), model_(scratch.model), segment_(model_.segment_ends.size() - 1) {
  // All lists grow downwards from the ends of their parts.
  uint64_t part = count + 2 * kRansSlack;
  bool some_verbatim = std::any_of(model_.tables.begin(), model_.tables.end(), [](auto& t) { return t.size == 0; });
  uint8_t* memory = scratch.take((some_verbatim ? 3 : 2) * part);
  bytes_end_ = state_.bytes = memory + part;
  escapes_end_ = state_.escapes = memory + 2 * part;
  verbatim_end_ = verbatim_ = memory + (some_verbatim ? 3 : 2) * part;
  std::memset(state_.states.high, 1, sizeof state_.states.high);
  std::memset(state_.states.low, 0, sizeof state_.states.low);
}

void RansEncoding::put(const uint8_t* symbols, const uint8_t* context, uint64_t begin, uint64_t count) {
  const uint32_t lanes = model_.lanes;
  const bool with_classes = model_.segment_ends.empty();
  const RansClasses classes = with_classes ? model_.classes() : RansClasses{};
  auto code = [&](const uint8_t* of, const uint8_t* in_context, uint64_t rows) {
    if (!with_classes && model_.tables[segment_].size == 0)
      std::memcpy(verbatim_ -= rows * lanes, of, rows * lanes);
    else if (with_classes)
      kernels_.encode_classes(classes, lanes, of, in_context, rows, state_);
    else
      kernels_.encode(model_.tables[segment_], lanes, of, rows, state_);
  };
  enter_segment(begin, count);
  if (uint64_t tail = count % lanes; tail && !with_classes && model_.tables[segment_].size == 0) {
    std::memcpy(verbatim_ -= tail, symbols + count - tail, tail);
    count -= tail;
  } else if (tail) {  // only the first piece has one
    uint8_t row[kRansMaxLanes], contexts[kRansMaxLanes] = {};
    uint64_t whole = count - tail;
    if (with_classes) std::memcpy(contexts, context + whole, tail);
    uint8_t padding = model_.tables[with_classes ? model_.class_of[0] : segment_].value[0];
    std::memset(put_bytes(row, symbols + whole, tail), padding, lanes - tail);
    code(row, contexts, 1);
    count = whole;
  }
  while (count > 0) {
    uint64_t segment_begin = with_classes || segment_ == 0 ? 0 : model_.segment_ends[segment_ - 1];
    uint64_t from = std::max(begin, segment_begin) - begin;
    if (from < count) code(symbols + from, context + from, (count - from) / lanes);
    count = std::min(count, from);
    if (count > 0) segment_--;
  }
}

uint64_t RansEncoding::size() {
  std::vector<uint8_t> list(state_.escapes, escapes_end_);
  escape_counts_[0] = static_cast<uint32_t>(list.size());
  escapes_.clear();
  list = write_escapes(list, escapes_);
  escape_counts_[1] = static_cast<uint32_t>(list.size());
  list = write_escapes(list, escapes_);
  full_escapes_ = static_cast<uint32_t>(list.size());
  escapes_.insert(escapes_.end(), list.begin(), list.end());
  tables_.clear();
  if (model_.segment_ends.empty()) {
    for (uint32_t v = 0; v < 256; v += 2)
      tables_.push_back(static_cast<uint8_t>(model_.class_of[v] | model_.class_of[v + 1] << 4));
  } else {
    uint64_t begin = 0;
    for (size_t i = 0; i + 1 < model_.segment_ends.size(); begin = model_.segment_ends[i++]) {
      uint64_t units = (model_.segment_ends[i] - begin) / kRansUnit;
      tables_.push_back(static_cast<uint8_t>(units)), tables_.push_back(static_cast<uint8_t>(units >> 8));
    }
  }
  for (const RansTable& t : model_.tables) write_table(t, tables_);
  return kHeader + tables_.size() + 2 * model_.lanes + escapes_.size() +
         static_cast<uint64_t>(verbatim_end_ - verbatim_) + static_cast<uint64_t>(bytes_end_ - state_.bytes);
}

void RansEncoding::write(uint8_t* out) {
  auto rans_size = static_cast<uint32_t>(bytes_end_ - state_.bytes);
  const uint8_t head[4] = {static_cast<uint8_t>(model_.lanes),
                           static_cast<uint8_t>(model_.segment_ends.empty() ? kClasses : kSegments),
                           static_cast<uint8_t>(model_.tables.size()), 0};
  out = put_bytes(out, head, 4);
  for (uint32_t count : {escape_counts_[0], escape_counts_[1], full_escapes_, rans_size})
    out = put_bytes(out, &count, 4);
  out = put_bytes(out, tables_.data(), tables_.size());
  out = put_bytes(out, state_.states.high, model_.lanes);
  out = put_bytes(out, state_.states.low, model_.lanes);
  out = put_bytes(out, escapes_.data(), escapes_.size());
  out = put_bytes(out, verbatim_, static_cast<uint64_t>(verbatim_end_ - verbatim_));
  put_bytes(out, state_.bytes, rans_size);
}

// ---- Decoding

static uint32_t read_lanes(ByteCursor& c) {
  uint32_t lanes = c.u8("lanes");
  if (lanes != 64 && lanes != 128) c.fail("lanes", std::to_string(lanes) + " is not 64 or 128");
  return lanes;
}

static uint64_t read_count(ByteCursor& c, const char* field, uint64_t most) {
  uint64_t n = c.u32(field);
  if (n > most) c.fail(field, std::to_string(n) + " is more than " + std::to_string(most));
  return n;
}

RansDecoding::RansDecoding(Coder coder, ByteView stream, const Plane& shape, bool with_context, RansScratch& scratch,
                           const RansKernels& kernels)
    : kernels_(kernels), model_(scratch.model), count_(shape.count) {
  if (shape.bits > 8) throw_corrupt("rans stream: symbols of " + std::to_string(shape.bits) + " bits");
  ByteCursor c(stream, "rans stream", 0);
  model_.tables.clear(), model_.segment_ends.clear();
  model_.lanes = read_lanes(c);
  uint64_t counts[3], levels = 2, rans_size, verbatim = 0;
  if (coder == Coder::kRans) {
    uint32_t size = c.u8("table_size");
    if (size < 2 || size > 32) c.fail("table_size", std::to_string(size) + " is not 2 to 32");
    c.zeros(2, "reserved");
    counts[0] = read_count(c, "escape_count", shape.count);
    counts[1] = read_count(c, "raw_escape_count", counts[0]);
    levels = 1;
    rans_size = c.u32("rans_size");
    model_.tables.resize(1);
    model_.segment_ends.push_back(count_);
    read_old_table(c, size, model_.tables[0]);
  } else {
    uint32_t kind = c.u8("kind");
    if (kind > kClasses) c.fail("kind", std::to_string(kind) + " is not 0 or 1");
    if (kind == kClasses && !with_context) c.fail("kind", "is 1, but the plane has no context");
    uint32_t tables = c.u8("table_count"), most = kind == kClasses ? kRansMaxClasses : kRansMaxSegments;
    if (tables == 0 || tables > most)
      c.fail("table_count", std::to_string(tables) + " is not 1 to " + std::to_string(most));
    c.zeros(1, "reserved");
    counts[0] = read_count(c, "escape_count", shape.count);
    counts[1] = read_count(c, "second_escape_count", counts[0]);
    counts[2] = read_count(c, "raw_escape_count", counts[1]);
    rans_size = c.u32("rans_size");
    if (kind == kClasses) {
      ByteView nibbles = c.bytes(128, "class_of");
      for (uint32_t v = 0; v < 256; v++) {
        model_.class_of[v] = nibbles.data[v / 2] >> v % 2 * 4 & 15;
        if (model_.class_of[v] >= tables) c.fail("class_of", "names a class that is not there");
      }
    } else {
      uint64_t end = 0;
      for (uint32_t i = 0; i + 1 < tables; i++) {
        uint64_t units = c.u16("segment_length");
        end += units * kRansUnit;
        if (units == 0 || end >= count_) c.fail("segment_length", std::to_string(units) + " leaves no symbols");
        model_.segment_ends.push_back(end);
      }
      model_.segment_ends.push_back(count_);
    }
    model_.tables.resize(tables);
    for (RansTable& t : model_.tables) read_table(c, shape.bits, kind == kSegments, t);
    for (size_t i = 0; i < model_.segment_ends.size(); i++)
      if (model_.tables[i].size == 0) verbatim += model_.segment_ends[i] - (i ? model_.segment_ends[i - 1] : 0);
    if (kind == kClasses) classes_ = model_.classes();
  }
  std::memcpy(state_.states.high, c.bytes(model_.lanes, "high").data, model_.lanes);
  std::memcpy(state_.states.low, c.bytes(model_.lanes, "low").data, model_.lanes);
  if (std::memchr(state_.states.high, 0, model_.lanes)) c.fail("high", "has a state below 256");
  EscapeList first = read_escapes(c, counts[0], "rare", "nibbles");
  EscapeList second = read_escapes(c, levels == 2 ? counts[1] : 0, "second_rare", "second_nibbles");
  ByteView full = c.bytes(counts[levels], "raw_escapes");
  ByteView in_full = c.bytes(verbatim, "verbatim");
  check_bits(in_full.data, in_full.size, shape.bits);
  verbatim_ = in_full.data;
  bytes_ = c.bytes(rans_size, "bytes");
  if (c.left()) throw_corrupt("rans stream: " + std::to_string(c.left()) + " bytes too long");

  uint8_t* escapes = scratch.take(counts[0] + second.count + kRansSlack);
  uint8_t* others = escapes + counts[0] + kRansSlack;  // the second list, unpacked behind the first
  if (levels == 2) unpack_escapes(second, full.data, full.size, others);
  unpack_escapes(first, levels == 2 ? others : full.data, levels == 2 ? second.count : full.size, escapes);
  for (uint64_t i = 0; i < counts[0] && coder == Coder::kContextRans; i++)
    if (escapes[i] >> shape.bits)
      throw_corrupt("rans stream: an escape has more than " + std::to_string(shape.bits) + " bits");
  std::memset(escapes + counts[0], 0, kRansSlack);
  state_.escapes = escapes, state_.escapes_limit = escapes + counts[0];
  state_.bytes = bytes_.data;
  if (bytes_.size < model_.lanes)
    use_copy();
  else
    state_.bytes_limit = bytes_.data + bytes_.size - model_.lanes;
}

// The last bytes are read from a copy with slack, so that no load leaves the stream.
void RansDecoding::use_copy() {
  uint64_t left = static_cast<uint64_t>(bytes_.data + bytes_.size - state_.bytes);
  if (left) std::memcpy(copy_, state_.bytes, left);
  state_.bytes = copy_, state_.bytes_limit = copy_ + left;
  copied_ = true;
}

void RansDecoding::rows(uint8_t* out, const uint8_t* context, uint64_t rows) {
  const uint32_t lanes = model_.lanes;
  auto code = [&](uint64_t done) {
    if (has_classes())
      return kernels_.decode_classes(classes_, lanes, out + done * lanes, context + done * lanes, rows - done, state_);
    return kernels_.decode(model_.tables[segment_], lanes, out + done * lanes, rows - done, state_);
  };
  uint64_t done = code(0);
  if (done < rows && !copied_ && state_.escapes <= state_.escapes_limit) {  // so less than a row of bytes is left
    use_copy();
    done += code(done);
  }
  if (done < rows) throw_corrupt("rans stream: bytes or escapes end too early");
}

void RansDecoding::next(uint8_t* out, const uint8_t* context, uint64_t count) {
  const uint32_t lanes = model_.lanes;
  while (count >= lanes) {
    uint64_t n = count / lanes * lanes;
    if (!has_classes()) {
      enter_segment();
      if (segment_ + 1 < model_.segment_ends.size()) n = std::min(n, model_.segment_ends[segment_] - at_);
    }
    if (!has_classes() && model_.tables[segment_].size == 0)
      std::memcpy(out, verbatim_, n), verbatim_ += n;
    else
      rows(out, context, n / lanes);
    out += n, context += n, at_ += n, count -= n;
  }
  if (count == 0) return;
  uint8_t row[kRansMaxLanes], contexts[kRansMaxLanes] = {};
  if (has_classes()) {
    std::memcpy(contexts, context, count);
  } else {
    enter_segment();
    if (model_.tables[segment_].size == 0) {
      put_bytes(out, verbatim_, count);
      verbatim_ += count, at_ += count;
      return;
    }
  }
  for (uint64_t i = count; i < lanes; i++) {
    const RansTable& table = model_.tables[has_classes() ? model_.class_of[0] : segment_];
    if (table.index_of_slot[state_.states.low[i]] == table.size - 1) throw_corrupt("rans stream: padding is an escape");
  }
  rows(row, contexts, 1);
  put_bytes(out, row, count);
  at_ += count;
}

void RansDecoding::finish() const {
  const uint8_t* end = copied_ ? state_.bytes_limit : bytes_.data + bytes_.size;
  if (state_.bytes != end || state_.escapes != state_.escapes_limit)
    throw_corrupt("rans stream: bytes or escapes are left over");
  for (uint32_t i = 0; i < model_.lanes; i++)
    if (state_.states.high[i] != 1 || state_.states.low[i] != 0)
      throw_corrupt("rans stream: the state of lane " + std::to_string(i) + " does not end as it began");
}

uint64_t encode_context_rans(const Plane& plane, const uint8_t* context, uint8_t* out, uint64_t capacity,
                             RansScratch& scratch, const RansKernels& kernels) {
  RansEncoding encoding(plane.count, scratch, kernels);
  encoding.put(plane.symbols, context ? context : plane.symbols, 0, plane.count);
  uint64_t size = encoding.size();
  if (size > capacity) return 0;
  encoding.write(out);
  return size;
}

void decode_rans(Coder coder, ByteView stream, const Plane& shape, const uint8_t* context, uint8_t* out,
                 RansScratch& scratch, const RansKernels& kernels) {
  RansDecoding decoding(coder, stream, shape, context != nullptr, scratch, kernels);
  decoding.next(out, context ? context : out, shape.count);
  decoding.finish();
}

}  // namespace mithril
