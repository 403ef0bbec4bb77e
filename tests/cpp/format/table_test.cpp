#include "csrc/format/table.h"

#include "csrc/base/checksum.h"
#include "csrc/transform/transform.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

constexpr uint64_t kFrame = 64, kElements = 25, kWidth = 2;  // blocks of 10, 10 and 5 elements

Table table() {
  Table t;
  t.block_elements = 10;
  t.recipes.resize(2);
  t.recipes[0].planes.add(16);
  t.recipes[1].transform = Transform::kFloatFields;
  t.recipes[1].planes.add(8), t.recipes[1].planes.add(8);
  t.streams = {{Coder::kConstant, 1}, {Coder::kRaw, 10}, {Coder::kConstant, 2}, {Coder::kZstd, 70}, {Coder::kRaw, 5}};
  t.blocks = {{11, 1, 2, 64, 0, 1}, {2, 3, 4, 128, 2, 0}, {75, 5, 6, 192, 3, 1}};
  return t;
}
constexpr uint64_t kTable = 64 + 64 + 64 + 128;  // the first multiple of 64 after the blocks

Table read(const Bytes& b, uint64_t elements = kElements, uint64_t offset = kTable) {
  auto bfloat16 = [](Transform t) { return planes_of(t, info(DType::kBFloat16)); };
  return read_table({b.data(), b.size()}, offset, kFrame, elements, kWidth, bfloat16, "a");
}

void seal(Bytes& b) {
  uint64_t sum = xxh3_64(b.data(), b.size() - 8);
  std::memcpy(&b[b.size() - 8], &sum, 8);
}

TEST(Table, RoundTrip) {
  Table a = table(), b = read(write_table(a));
  EXPECT_EQ(a.block_elements, b.block_elements);
  ASSERT_EQ(a.recipes.size(), b.recipes.size());
  for (size_t i = 0; i < a.recipes.size(); i++)
    EXPECT_TRUE(a.recipes[i].transform == b.recipes[i].transform && a.recipes[i].planes == b.recipes[i].planes);
  ASSERT_EQ(a.streams.size(), b.streams.size());
  for (size_t i = 0; i < a.streams.size(); i++)
    EXPECT_TRUE(a.streams[i].coder == b.streams[i].coder && a.streams[i].size == b.streams[i].size);
  ASSERT_EQ(a.blocks.size(), b.blocks.size());
  for (size_t i = 0; i < a.blocks.size(); i++) {
    const BlockRecord &x = a.blocks[i], &y = b.blocks[i];
    EXPECT_TRUE(x.stored_size == y.stored_size && x.stored_checksum == y.stored_checksum && x.offset == y.offset);
    EXPECT_TRUE(x.raw_checksum == y.raw_checksum && x.first_stream == y.first_stream && x.recipe == y.recipe);
  }
  EXPECT_EQ(b.raw_checksums(), (std::vector<uint64_t>{2, 4, 6}));
  Table none;
  none.block_elements = 1;
  EXPECT_TRUE(read(write_table(none), 0, kFrame).blocks.empty());
}

TEST(Table, CutLongerOrFlippedIsCorrupt) {
  Bytes whole = write_table(table());
  for (size_t n = 0; n < whole.size(); n++)
    EXPECT_ERROR(kCorrupt, "a: table", read(Bytes(whole.begin(), whole.begin() + n))) << n;
  for (size_t bit = 0; bit < 8 * whole.size(); bit++) {
    whole[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_ERROR(kCorrupt, "checksum does not match", read(whole));
    whole[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  whole.resize(whole.size() + 8);
  seal(whole);
  EXPECT_ERROR(kCorrupt, "leaves 8 bytes over", read(whole));
}

TEST(Table, CutOrFlippedWithValidChecksums) {  // an error, or another table; but nothing else
  const Bytes whole = write_table(table());
  for (size_t n = 48; n < whole.size(); n++) {
    Bytes b(whole.begin(), whole.begin() + n);
    seal(b);
    EXPECT_ERROR(kCorrupt, "offset", read(b)) << n;
  }
  for (size_t bit = 0; bit < 8 * (whole.size() - 8); bit++) {
    Bytes b = whole;
    b[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    seal(b);
    try {
      read(b);
    } catch (const Error& e) {
      EXPECT_TRUE(e.kind() == ErrorKind::kCorrupt || e.kind() == ErrorKind::kUnsupported) << e.what();
    }
  }
}

struct Edit {
  const char* what;
  uint64_t at, value;
  int width;
  ErrorKind kind;
  const char* text;
};

// Head 40 bytes; recipe 0 at 40, recipe 1 at 52; block 0 at 68 with streams at 108 and 124.
const Edit kEdits[] = {
    {"magic", 0, 'm', 1, ErrorKind::kCorrupt, "magic"},
    {"base_kind", 4, 1, 2, ErrorKind::kUnsupported, "base_kind 1"},
    {"reserved", 6, 1, 1, ErrorKind::kCorrupt, "reserved is not zero (offset 326)"},
    {"block_elements 0", 8, 0, 8, ErrorKind::kCorrupt, "block_elements 0"},
    {"block_elements 8", 8, 8, 8, ErrorKind::kCorrupt, "block_count 3 is not that"},
    {"block_elements beyond 1 MiB", 8, (1 << 19) + 1, 8, ErrorKind::kCorrupt,
     "block_elements 524289 is not 1 to 524288"},
    {"block_elements 2^64 - 1", 8, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "block_elements"},
    {"block_count 2", 16, 2, 8, ErrorKind::kCorrupt, "block_count 2 is not that of 25"},
    {"block_count 2^64 - 1", 16, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "block_count"},
    {"recipe_count 257", 24, 257, 8, ErrorKind::kCorrupt, "recipe_count 257 exceeds the limit 256"},
    {"recipe_count 256", 24, 256, 8, ErrorKind::kCorrupt, "recipe_count 256 does not fit"},
    {"recipe_count 0", 24, 0, 8, ErrorKind::kCorrupt, "recipe"},
    {"model_count 1", 32, 1, 8, ErrorKind::kUnsupported, "model_count 1"},
    {"model_count 65537", 32, 65537, 8, ErrorKind::kCorrupt, "model_count"},
    {"transform 3", 40, 3, 2, ErrorKind::kUnsupported, "transform 3"},
    {"transform 0xffff", 40, 0xffff, 2, ErrorKind::kUnsupported, "transform"},
    {"parameter", 42, 1, 2, ErrorKind::kUnsupported, "parameter 1"},
    {"plane_count 0", 44, 0, 2, ErrorKind::kCorrupt, "plane_count 0"},
    {"plane_count 17", 44, 17, 2, ErrorKind::kCorrupt, "plane_count 17"},
    {"plane_count of another transform", 44, 2, 2, ErrorKind::kCorrupt, "plane_count 2 is not that of transform 0"},
    {"transform without its planes", 40, 2, 2, ErrorKind::kCorrupt, "plane_count 1 is not that of transform 2"},
    {"symbol_bits", 48, 8, 1, ErrorKind::kCorrupt, "symbol_bits are not those of transform 0"},
    {"reserved of a recipe", 46, 1, 2, ErrorKind::kCorrupt, "reserved"},
    {"context_kind", 49, 1, 1, ErrorKind::kUnsupported, "context_kind 1"},
    {"context_plane", 50, 1, 2, ErrorKind::kCorrupt, "context_plane"},
    {"stored_size + 1", 68, 12, 8, ErrorKind::kCorrupt, "do not add up"},
    {"stored_size - 1", 68, 10, 8, ErrorKind::kCorrupt, "stream_size 10 of block 0 leads beyond the block"},
    {"stored_size beyond the table", 68, 257, 8, ErrorKind::kCorrupt,
     "stored_size 257 of block 0 leads beyond the table"},
    {"stored_size 2^64 - 1", 68, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "leads beyond the table"},
    {"recipe 2", 92, 2, 2, ErrorKind::kCorrupt, "recipe 2 of block 0 is out of range"},
    {"recipe 0xffff", 92, 0xffff, 2, ErrorKind::kCorrupt, "out of range"},
    {"envelope", 94, 1, 2, ErrorKind::kUnsupported, "envelope 1"},
    {"envelope_size", 96, 1, 4, ErrorKind::kCorrupt, "envelope_size"},
    {"coder 4", 100, 4, 2, ErrorKind::kUnsupported, "coder 4"},
    {"reserved of a stream", 102, 1, 2, ErrorKind::kCorrupt, "reserved"},
    {"model 1", 104, 1, 4, ErrorKind::kCorrupt, "model"},
    {"stream_size", 108, 2, 8, ErrorKind::kCorrupt, "stream_size"},
    {"stream_size 2^64 - 1", 108, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "stream_size"},
};

TEST(Table, FieldsWithValidChecksums) {
  const Bytes whole = write_table(table());
  for (const Edit& edit : kEdits) {
    Bytes b = whole;
    std::memcpy(&b[edit.at], &edit.value, edit.width);
    seal(b);
    SCOPED_TRACE(edit.what);
    EXPECT_TRUE(fails(edit.kind, edit.text, [&] { read(b); }));
  }
}

TEST(Table, BlocksThatDoNotFitTheirFrame) {
  Bytes whole = write_table(table());
  EXPECT_ERROR(kCorrupt, "the blocks end at 320, the table begins at 384", read(whole, kElements, kTable + 64));
  EXPECT_ERROR(kCorrupt, "leads beyond the table", read(whole, kElements, kTable - 64));
  for (uint64_t elements : {uint64_t{0}, uint64_t{20}, uint64_t{31}, ~uint64_t{0}})
    EXPECT_ERROR(kCorrupt, "block_count 3", read(whole, elements));
  for (uint64_t elements : {21, 30}) EXPECT_NO_THROW(read(whole, elements));
}

}  // namespace
}  // namespace mithril
