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
  auto bfloat16 = [](Transform t, uint16_t parameter) { return planes_of(t, info(DType::kBFloat16), parameter); };
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
  for (size_t i = 0; i < a.recipes.size(); i++) EXPECT_TRUE(a.recipes[i] == b.recipes[i]);
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
    {"transform 5", 40, 5, 2, ErrorKind::kUnsupported, "transform 5"},
    {"transform 0xffff", 40, 0xffff, 2, ErrorKind::kUnsupported, "transform"},
    {"parameter", 42, 1, 2, ErrorKind::kUnsupported, "parameter 1"},
    {"plane_count 0", 44, 0, 2, ErrorKind::kCorrupt, "plane_count 0"},
    {"plane_count 17", 44, 17, 2, ErrorKind::kCorrupt, "plane_count 17"},
    {"plane_count of another transform", 44, 2, 2, ErrorKind::kCorrupt, "plane_count 2 is not that of transform 0"},
    {"transform without its planes", 40, 2, 2, ErrorKind::kCorrupt, "plane_count 1 is not that of transform 2"},
    {"symbol_bits", 48, 8, 1, ErrorKind::kCorrupt, "symbol_bits are not those of transform 0"},
    {"reserved of a recipe", 46, 1, 2, ErrorKind::kCorrupt, "reserved"},
    {"context_kind 2", 49, 2, 1, ErrorKind::kUnsupported, "context_kind 2"},
    {"context_kind 4", 49, 4, 1, ErrorKind::kUnsupported, "context_kind 4"},
    {"context_kind 255", 49, 255, 1, ErrorKind::kUnsupported, "context_kind 255"},
    {"context of identity", 49, 3, 1, ErrorKind::kCorrupt, "context_kind 3"},
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
    {"coder 6", 100, 6, 2, ErrorKind::kUnsupported, "coder 6"},
    {"coder 0xffff", 100, 0xffff, 2, ErrorKind::kUnsupported, "coder 65535"},
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

// Parameters and contexts (docs/format.md 3.2 and 6.4), in tables of no blocks.
struct RecipeRow {
  const char* text;  // of the error; null: accepted
  DType dtype;
  Transform transform;
  uint32_t parameter;
  std::vector<Context> contexts;
  ErrorKind kind = ErrorKind::kCorrupt;
};

constexpr Context kNone{}, kLane{ContextKind::kLane, 0};
constexpr Context of_plane(uint16_t plane) { return {ContextKind::kPlane, plane}; }
constexpr uint32_t parameter(uint32_t joined, uint32_t base, uint32_t no_signs = 0) {
  return joined + 4 * no_signs + 8 * base;
}

const RecipeRow kRecipeRows[] = {
    // Parameters. bfloat16: keys of 9 and 10 bits; float64: 11 to 13; float16: 5 to 7, which have no base.
    {nullptr, DType::kBFloat16, Transform::kFloatKeys, 0, {}},
    {nullptr, DType::kBFloat16, Transform::kFloatKeys, parameter(1, 256), {}},
    {nullptr, DType::kBFloat16, Transform::kFloatKeys, parameter(2, 768), {}},
    {nullptr, DType::kBFloat16, Transform::kNonzeroKeys, parameter(1, 17), {}},
    {nullptr, DType::kFloat64, Transform::kFloatKeys, parameter(0, 1792), {}},
    {nullptr, DType::kFloat64, Transform::kFloatKeys, parameter(2, 7936), {}},
    {nullptr, DType::kFloat16, Transform::kFloatKeys, parameter(2, 0), {}},
    {nullptr, DType::kFloat8E5M2, Transform::kNonzeroKeys, parameter(2, 0), {}},
    {nullptr, DType::kBFloat16, Transform::kFloatKeys, parameter(0, 0, 1), {}},
    {nullptr, DType::kBFloat16, Transform::kNonzeroKeys, parameter(1, 256, 1), {}},
    {nullptr, DType::kFloat32, Transform::kFloatKeys, parameter(0, 0, 1), {}},
    {"parameter 6 is not one of", DType::kFloat16, Transform::kFloatKeys, parameter(2, 0, 1), {}},
    {"parameter 6 is not one of", DType::kFloat8E5M2, Transform::kFloatKeys, parameter(2, 0, 1), {}},
    {"parameter 8 is not one of", DType::kBFloat16, Transform::kFloatKeys, parameter(0, 1), {}},
    {"parameter 3 is not one of", DType::kBFloat16, Transform::kFloatKeys, 3, {}},
    {"parameter 2057 is not one of", DType::kBFloat16, Transform::kFloatKeys, parameter(1, 257), {}},
    {"parameter 6154 is not one of", DType::kBFloat16, Transform::kNonzeroKeys, parameter(2, 769), {}},
    {"parameter 65534", DType::kBFloat16, Transform::kFloatKeys, 65534, {}},
    {"parameter 10 is not one of", DType::kFloat16, Transform::kFloatKeys, parameter(2, 1), {}},
    {"parameter 14344", DType::kFloat64, Transform::kFloatKeys, parameter(0, 1793), {}},
    {"parameter 1 ", DType::kInt16, Transform::kFloatKeys, 1, {}},
    {"parameter 0 ", DType::kFloat8E8M0Fnu, Transform::kNonzeroKeys, 0, {}},
    {"parameter 1 is not known", DType::kBFloat16, Transform::kFloatFields, 1, {}, ErrorKind::kUnsupported},
    {"parameter 1 is not known", DType::kBFloat16, Transform::kBytePlanes, 1, {}, ErrorKind::kUnsupported},
    {"parameter 4 is not known", DType::kBFloat16, Transform::kIdentity, 4, {}, ErrorKind::kUnsupported},
    // Contexts. bfloat16, j = 1: top, key_high, key.
    {nullptr, DType::kBFloat16, Transform::kFloatKeys, 1, {of_plane(2), of_plane(2), kLane}},
    {nullptr, DType::kBFloat16, Transform::kFloatKeys, 1, {of_plane(1), kLane, kNone}},
    {nullptr, DType::kBFloat16, Transform::kFloatFields, 0, {of_plane(1), kLane}},
    {nullptr, DType::kInt16, Transform::kBytePlanes, 0, {of_plane(1), kLane}},
    {nullptr, DType::kBFloat16, Transform::kNonzeroKeys, 1, {kNone, of_plane(3), kLane, kLane}},
    {"context_plane 0 is no later plane", DType::kBFloat16, Transform::kFloatKeys, 1, {of_plane(0)}},
    {"context_plane 1 is no later plane", DType::kBFloat16, Transform::kFloatKeys, 1, {kNone, of_plane(1)}},
    {"context_plane 0 is no later plane", DType::kBFloat16, Transform::kFloatKeys, 1, {kNone, of_plane(0)}},
    {"context_plane 3 is no later plane", DType::kBFloat16, Transform::kFloatKeys, 1, {of_plane(3)}},
    {"context_plane 65535 is no later", DType::kBFloat16, Transform::kFloatKeys, 1, {of_plane(65535)}},
    {"context_plane 2 is no later plane", DType::kBFloat16, Transform::kFloatKeys, 1, {kNone, kNone, of_plane(2)}},
    {"context_plane 2 stands where there is none",
     DType::kBFloat16,
     Transform::kFloatKeys,
     1,
     {{ContextKind::kNone, 2}}},
    {"context_plane 2 stands where there is none",
     DType::kBFloat16,
     Transform::kFloatKeys,
     1,
     {{ContextKind::kLane, 2}}},
    {"context_kind 2 is not known",
     DType::kBFloat16,
     Transform::kFloatKeys,
     1,
     {{ContextKind::kBasePlane, 0}},
     ErrorKind::kUnsupported},
    {"context_kind 4 is not known",
     DType::kBFloat16,
     Transform::kFloatKeys,
     1,
     {{static_cast<ContextKind>(4), 0}},
     ErrorKind::kUnsupported},
    {"context_kind 3 of a plane that has no context", DType::kBFloat16, Transform::kIdentity, 0, {kLane}},
    {"context_kind 3 of a plane that has no context", DType::kUInt8, Transform::kIdentity, 0, {kLane}},
    {"context_kind 3 of a plane that has no context", DType::kBFloat16, Transform::kNonzeroKeys, 1, {kLane}},
    {"context_kind 1 of a plane that has no context", DType::kBFloat16, Transform::kNonzeroKeys, 1, {of_plane(3)}},
};

TEST(Table, ParametersAndContexts) {
  for (const RecipeRow& row : kRecipeRows) {
    const DTypeInfo& d = info(row.dtype);
    SCOPED_TRACE(testing::Message() << d.name << ", transform " << static_cast<int>(row.transform) << ", parameter "
                                    << row.parameter << ": " << (row.text ? row.text : "accepted"));
    Table t;
    t.block_elements = 1;
    Recipe& r = t.recipes.emplace_back();
    r.transform = row.transform, r.parameter = static_cast<uint16_t>(row.parameter);
    r.planes = planes_of(r.transform, d, r.parameter);
    if (r.planes.count == 0) r.planes = planes_of(Transform::kFloatFields, info(DType::kBFloat16));
    std::copy(row.contexts.begin(), row.contexts.end(), r.contexts.begin());
    Bytes bytes = write_table(t);
    Table back;
    auto read_back = [&] {
      back = read_table(
          {bytes.data(), bytes.size()}, kFrame, kFrame, 0, d.element_bytes,
          [&](Transform of, uint16_t p) { return planes_of(of, d, p); }, "a");
    };
    if (row.text) {
      EXPECT_TRUE(fails(row.kind, row.text, read_back));
    } else {
      ASSERT_NO_THROW(read_back());
      EXPECT_TRUE(back.recipes.at(0) == r);
    }
  }
}

TEST(Table, PlanesOtherThanTheParameters) {
  Table t;
  t.block_elements = 1;
  t.recipes.resize(1);
  t.recipes[0].transform = Transform::kFloatKeys, t.recipes[0].parameter = 1;
  const std::pair<std::vector<uint8_t>, const char*> rows[] = {{{7, 1, 8}, nullptr},
                                                               {{8, 8}, "plane_count 2"},
                                                               {{7, 8, 1}, "symbol_bits"},
                                                               {{6, 2, 8}, "symbol_bits"},
                                                               {{1, 7, 1, 8}, "plane_count 4"}};
  for (const auto& [bits, error] : rows) {
    t.recipes[0].planes = {};
    for (uint8_t b : bits) t.recipes[0].planes.add(b);
    if (error)
      EXPECT_ERROR(kCorrupt, error, read(write_table(t), 0, kFrame));
    else
      EXPECT_NO_THROW(read(write_table(t), 0, kFrame));
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
