#include "csrc/format/index.h"

#include <numeric>

#include "csrc/base/checksum.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

constexpr uint64_t kOffset = 64 + 5 * 64;  // of the index: five frames of one table each, of 48 bytes

Entry entry(EntryKind kind, std::string name, DType dtype, std::vector<uint64_t> dims, uint64_t frame) {
  Entry e;
  e.kind = kind, e.name = std::move(name), e.dtype = dtype, e.dims = std::move(dims);
  e.dim_order.resize(e.dims.size());
  std::iota(e.dim_order.begin(), e.dim_order.end(), uint8_t{0});
  if (kind == EntryKind::kAlias)
    e.target = frame;
  else
    e.frame_offset = e.table_offset = 64 + frame * 64, e.table_size = 48, e.content_id = {frame, 7};
  return e;
}

std::vector<Entry> entries() {
  std::vector<Entry> list = {entry(EntryKind::kTensor, "w", DType::kFloat32, {2, 0, 4, 5}, 0),
                             entry(EntryKind::kAlias, "alias", DType::kFloat32, {2, 0, 4, 5}, 0),
                             entry(EntryKind::kTensor, "", DType::kBool, {}, 1),
                             entry(EntryKind::kValue, "v", DType::kUInt8, {0}, 2),
                             entry(EntryKind::kForeign, "äß€😀", DType::kUInt8, {0}, 3),
                             entry(EntryKind::kTensor, "64 dims", DType::kComplex128, std::vector<uint64_t>(64, 1), 4)};
  list[0].dim_order = list[1].dim_order = {0, 2, 3, 1};
  return list;
}

Index read(const Bytes& b, uint64_t offset = kOffset) { return read_index({b.data(), b.size()}, offset, "a"); }

void seal(Bytes& b, uint64_t entry_at) {
  uint64_t size;
  std::memcpy(&size, &b[entry_at], 8);
  if (size < 16 || size > b.size() - entry_at) return;
  uint64_t sum = xxh3_64(&b[entry_at], size - 8);
  std::memcpy(&b[entry_at + size - 8], &sum, 8);
}

TEST(Index, RoundTrip) {
  std::map<std::string, std::string> metadata = {{"", "empty key"}, {"a", ""}, {"b", "ü"}, {"mithril.kind", "x"}};
  std::vector<Entry> written = entries();
  Index index = read(write_index(written, metadata));
  EXPECT_TRUE(index.metadata == metadata);
  ASSERT_EQ(index.entries.size(), written.size());
  for (size_t i = 0; i < written.size(); i++) {
    const Entry &a = written[i], &b = index.entries[i];
    EXPECT_EQ(index.by_name.at(a.name), i);
    EXPECT_TRUE(a.kind == b.kind && a.name == b.name && a.dtype == b.dtype && a.dims == b.dims &&
                a.dim_order == b.dim_order);
    EXPECT_TRUE(a.target == b.target && a.frame_offset == b.frame_offset && a.table_offset == b.table_offset);
    EXPECT_TRUE(a.table_size == b.table_size && a.content_id == b.content_id);
  }
  EXPECT_TRUE(read(write_index({}, {}), 64).entries.empty());
}

TEST(Index, CutShortOrLongerIsCorrupt) {
  Bytes whole = write_index(entries(), {{"k", "v"}});
  for (size_t n = 0; n < whole.size(); n++)
    EXPECT_ERROR(kCorrupt, "offset", read(Bytes(whole.begin(), whole.begin() + n))) << n;
  whole.resize(whole.size() + 8);
  EXPECT_ERROR(kCorrupt, "leaves 8 bytes over", read(whole));
}

TEST(Index, FlippedBitsOfEntriesAreCorrupt) {
  Bytes whole = write_index(entries(), {});
  for (size_t at = 24; at < whole.size(); at++) {
    whole[at] ^= 4;
    EXPECT_ERROR(kCorrupt, "offset", read(whole)) << at;
    whole[at] ^= 4;
  }
}

TEST(Index, EveryBitWithValidChecksums) {  // any error, or any index; but nothing else
  const Bytes whole = write_index(entries(), {{"k", "v"}});
  std::vector<uint64_t> starts;
  for (uint64_t at = 42, size = 0; at < whole.size(); at += size)
    std::memcpy(&size, &whole[at], 8), starts.push_back(at);
  ASSERT_EQ(starts.size(), entries().size());
  for (uint64_t bit = 0; bit < 8 * whole.size(); bit++) {
    Bytes b = whole;
    b[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    for (uint64_t at : starts) seal(b, at);
    try {
      read(b);
    } catch (const Error& e) {
      EXPECT_TRUE(e.kind() == ErrorKind::kCorrupt || e.kind() == ErrorKind::kUnsupported) << e.what();
    }
  }
}

// One entry "w", a uint8 tensor of shape [3]: fields at fixed places.
struct Edit {
  const char* what;
  uint64_t at, value;
  int width;
  ErrorKind kind;
  const char* text;
};

const Edit kEdits[] = {
    {"magic", 0, 'm', 1, ErrorKind::kCorrupt, "magic is wrong (offset 128)"},
    {"reserved", 7, 1, 1, ErrorKind::kCorrupt, "reserved is not zero (offset 135)"},
    {"entry_count 2", 8, 2, 8, ErrorKind::kCorrupt, "entry"},
    {"entry_count 0", 8, 0, 8, ErrorKind::kCorrupt, "bytes over"},
    {"entry_count beyond the index", 8, 1000, 8, ErrorKind::kCorrupt, "entry_count 1000 does not fit"},
    {"entry_count 2^64 - 1", 8, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "entry_count"},
    {"metadata_count 2^64 - 1", 16, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "metadata_count"},
    {"metadata_count 1", 16, 1, 8, ErrorKind::kCorrupt, "key"},
    {"entry_size 0", 24, 0, 8, ErrorKind::kCorrupt, "entry_size"},
    {"entry_size 2^64 - 1", 24, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "entry_size"},
    {"kind 4", 32, 4, 2, ErrorKind::kUnsupported, "kind 4"},
    {"kind 0xffff", 32, 0xffff, 2, ErrorKind::kUnsupported, "kind"},
    {"kind alias", 32, 1, 2, ErrorKind::kCorrupt, "entry_size"},
    {"dtype 0", 34, 0, 2, ErrorKind::kUnsupported, "dtype 0"},
    {"dtype 23", 34, 23, 2, ErrorKind::kUnsupported, "dtype 23"},
    {"layout 1", 36, 1, 2, ErrorKind::kUnsupported, "layout 1"},
    {"ndim 65", 38, 65, 2, ErrorKind::kCorrupt, "ndim 65 exceeds the limit 64"},
    {"ndim 2", 38, 2, 2, ErrorKind::kCorrupt, "entry 0"},
    {"ndim 0", 38, 0, 2, ErrorKind::kCorrupt, "bytes over"},
    {"name_size 4097", 40, 4097, 8, ErrorKind::kCorrupt, "name_size 4097 exceeds the limit 4096"},
    {"name_size 2^64 - 1", 40, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "name_size"},
    {"name_size beyond the entry", 40, 200, 8, ErrorKind::kCorrupt, "name needs 200 bytes"},
    {"name", 48, 0xff, 1, ErrorKind::kCorrupt, "name is not UTF-8"},
    {"dim 2^63", 49, uint64_t{1} << 63, 8, ErrorKind::kCorrupt, "dims"},
    {"dim_order", 57, 1, 1, ErrorKind::kCorrupt, "dim_order is no permutation"},
    {"frame_offset 0", 58, 0, 8, ErrorKind::kCorrupt, "do not tile"},
    {"frame_offset 128", 58, 128, 8, ErrorKind::kCorrupt, "do not tile"},
    {"table_offset before the frame", 66, 0, 8, ErrorKind::kCorrupt, "do not tile"},
    {"table_offset no multiple of 64", 66, 65, 8, ErrorKind::kCorrupt, "do not tile"},
    {"table_offset beyond the index", 66, 192, 8, ErrorKind::kCorrupt, "do not tile"},
    {"table_offset 2^64 - 64", 66, ~uint64_t{63}, 8, ErrorKind::kCorrupt, "do not tile"},
    {"table_size beyond the index", 74, 65, 8, ErrorKind::kCorrupt, "do not tile"},
    {"table_size 0", 74, 0, 8, ErrorKind::kCorrupt, "the frames end at 64, the index begins at 128"},
    {"table_size 2^64 - 1", 74, ~uint64_t{0}, 8, ErrorKind::kCorrupt, "do not tile"},
};

TEST(Index, FieldsWithValidChecksums) {
  const Bytes whole = write_index({entry(EntryKind::kTensor, "w", DType::kUInt8, {3}, 0)}, {});
  ASSERT_EQ(whole.size(), 24u + 82u);
  EXPECT_NO_THROW(read(whole, 128));
  for (const Edit& edit : kEdits) {
    Bytes b = whole;
    std::memcpy(&b[edit.at], &edit.value, edit.width);
    seal(b, 24);
    SCOPED_TRACE(edit.what);
    EXPECT_TRUE(fails(edit.kind, edit.text, [&] { read(b, 128); }));
  }
}

TEST(Index, EntriesThatDoNotFitTogether) {
  struct Row {
    const char* what;
    const char* text;
    void (*change)(std::vector<Entry>&);
  };
  const Row rows[] = {
      {"twice the same name", "occurs twice", [](std::vector<Entry>& e) { e[3].name = "w"; }},
      {"alias to itself", "earlier tensor", [](std::vector<Entry>& e) { e[1].target = 1; }},
      {"alias to a later entry", "earlier tensor", [](std::vector<Entry>& e) { std::swap(e[0], e[1]); }},
      {"alias beyond the entries", "earlier tensor", [](std::vector<Entry>& e) { e[1].target = ~uint64_t{0}; }},
      {"alias of another dtype", "earlier tensor", [](std::vector<Entry>& e) { e[1].dtype = DType::kInt32; }},
      {"alias of other dims", "earlier tensor", [](std::vector<Entry>& e) { e[1].dims = {2, 0, 5, 4}; }},
      {"alias of another order", "earlier tensor", [](std::vector<Entry>& e) { e[1].dim_order = {0, 1, 2, 3}; }},
      {"alias to an alias", "earlier tensor",
       [](std::vector<Entry>& e) { e[2] = e[1], e[2].name = "x", e[2].target = 1; }},
      {"alias to a value", "earlier tensor",
       [](std::vector<Entry>& e) { e[4] = entry(EntryKind::kAlias, "x", DType::kUInt8, {0}, 3); }},
      {"value of another dtype", "must be uint8", [](std::vector<Entry>& e) { e[3].dtype = DType::kInt8; }},
      {"value of two dimensions", "must be uint8",
       [](std::vector<Entry>& e) { e[3].dims = {0, 0}, e[3].dim_order = {0, 1}; }},
      {"foreign blob of no dimension", "must be uint8",
       [](std::vector<Entry>& e) { e[4].dims = {}, e[4].dim_order = {}; }},
      {"gap between frames", "do not tile", [](std::vector<Entry>& e) { e[2].frame_offset += 64; }},
      {"frames that overlap", "do not tile", [](std::vector<Entry>& e) { e[3].frame_offset -= 64; }},
      {"frames in another order", "do not tile", [](std::vector<Entry>& e) { std::swap(e[3], e[4]); }},
      {"last frame missing", "the frames end at", [](std::vector<Entry>& e) { e.pop_back(); }},
      {"dims of 2^63 bytes", "2^63", [](std::vector<Entry>& e) { e[5].dims[63] = uint64_t{1} << 59; }},
      {"dims of 2^63 bytes, and a 0", "2^63",
       [](std::vector<Entry>& e) { e[5].dims[3] = uint64_t{1} << 60, e[5].dims[9] = 0; }},
      {"twice the same dimension", "dim_order", [](std::vector<Entry>& e) { e[5].dim_order[5] = 6; }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    std::vector<Entry> list = entries();
    row.change(list);
    EXPECT_ERROR(kCorrupt, row.text, read(write_index(list, {})));
  }
}

struct Text {
  const char* what;
  std::string text;
  bool valid;
};

const Text kTexts[] = {
    {"empty", "", true},
    {"zero byte", std::string("a\0b", 3), true},
    {"last of one byte", "\x7f", true},
    {"first of two bytes", "\xc2\x80", true},
    {"last of two bytes", "\xdf\xbf", true},
    {"first of three bytes", "\xe0\xa0\x80", true},
    {"before the surrogates", "\xed\x9f\xbf", true},
    {"after the surrogates", "\xee\x80\x80", true},
    {"last of three bytes", "\xef\xbf\xbf", true},
    {"first of four bytes", "\xf0\x90\x80\x80", true},
    {"last code point", "\xf4\x8f\xbf\xbf", true},
    {"continuation alone", "\x80", false},
    {"overlong /", "\xc0\xaf", false},
    {"overlong, two bytes", "\xc1\xbf", false},
    {"overlong, three bytes", "\xe0\x9f\xbf", false},
    {"overlong, four bytes", "\xf0\x8f\xbf\xbf", false},
    {"first surrogate", "\xed\xa0\x80", false},
    {"last surrogate", "\xed\xbf\xbf", false},
    {"beyond the last code point", "\xf4\x90\x80\x80", false},
    {"lead byte f5", "\xf5\x80\x80\x80", false},
    {"lead byte ff", "\xff", false},
    {"cut after one of two", "a\xc3", false},
    {"cut after two of three", "a\xe2\x82", false},
    {"cut after three of four", "a\xf0\x9f\x98", false},
    {"second byte is no continuation", "\xc3\x28", false},
    {"third byte is no continuation", "\xe2\x82\x28", false},
    {"fourth byte is no continuation", "\xf0\x9f\x98\x28", false},
    {"4096 bytes", std::string(4096, 'x'), true},
};

TEST(Index, NamesAndMetadataAreUtf8) {
  for (const Text& t : kTexts) {
    SCOPED_TRACE(t.what);
    Bytes b = write_index({entry(EntryKind::kTensor, t.text, DType::kUInt8, {3}, 0)}, {});  // names are checked by add
    if (t.valid) {
      EXPECT_NO_THROW(check_name(t.text));
      EXPECT_NO_THROW(read(b, 128));
      EXPECT_EQ(read(write_index({}, {{t.text, t.text}}), 64).metadata.at(t.text), t.text);
      continue;
    }
    EXPECT_ERROR(kInvalidArgument, "UTF-8", check_name(t.text));
    EXPECT_ERROR(kCorrupt, "name is not UTF-8", read(b, 128));
    EXPECT_ERROR(kInvalidArgument, "UTF-8", write_index({}, {{t.text, ""}}));
    EXPECT_ERROR(kInvalidArgument, "UTF-8", write_index({}, {{"", t.text}}));
  }
}

TEST(Index, TooLong) {
  std::string name(4097, 'x');
  EXPECT_ERROR(kInvalidArgument, "4097 bytes exceeds the limit 4096", check_name(name));
  EXPECT_ERROR(kCorrupt, "name_size 4097",
               read(write_index({entry(EntryKind::kTensor, name, DType::kUInt8, {3}, 0)}, {}), 128));
  EXPECT_ERROR(kInvalidArgument, "too long", write_index({}, {{name, ""}}));
  EXPECT_ERROR(kInvalidArgument, "too long", write_index({}, {{"a", std::string((64 << 20) + 1, 'x')}}));
}

TEST(Index, MetadataOutOfOrderIsCorrupt) {
  auto read_keys = [](const std::vector<std::string>& keys) {
    ByteBuilder b;
    b.text("MIDX"), b.u32(0), b.u64(0), b.u64(keys.size());
    for (const std::string& k : keys) b.u64(k.size()), b.text(k), b.u64(1), b.text("v");
    read(b.take(), 64);
  };
  EXPECT_NO_THROW(read_keys({"", "A", "a", "aa", "b", "\xc3\xa4"}));
  for (const std::vector<std::string>& keys :
       std::vector<std::vector<std::string>>{{"b", "a"}, {"a", "a"}, {"\xc3\xa4", "z"}, {"a", ""}})
    EXPECT_ERROR(kCorrupt, "keys are not in ascending order", read_keys(keys));
  EXPECT_ERROR(kCorrupt, "metadata is not UTF-8", read_keys({"\xff"}));
  EXPECT_ERROR(kCorrupt, "key_size 4097", read_keys({std::string(4097, 'x')}));
}

TEST(Index, ContentIdDependsOnEachInput) {
  Entry e = entry(EntryKind::kTensor, "w", DType::kInt16, {3, 4}, 0);
  Hash128 id = tensor_content_id(e, 10, {1, 2});
  Entry other = e;
  other.name = "x", other.frame_offset = 999, other.kind = EntryKind::kValue;
  EXPECT_TRUE(tensor_content_id(other, 10, {1, 2}) == id) << "neither the name nor the place";
  EXPECT_TRUE(tensor_content_id(e, 11, {1, 2}) != id);
  EXPECT_TRUE(tensor_content_id(e, 10, {2, 1}) != id);
  EXPECT_TRUE(tensor_content_id(e, 10, {1}) != id);
  (other = e).dims = {4, 3};
  EXPECT_TRUE(tensor_content_id(other, 10, {1, 2}) != id);
  (other = e).dim_order = {1, 0};
  EXPECT_TRUE(tensor_content_id(other, 10, {1, 2}) != id);
  (other = e).dtype = DType::kUInt16;
  EXPECT_TRUE(tensor_content_id(other, 10, {1, 2}) != id);
}

TEST(Index, IsPermutation) {
  for (const Bytes& order : {Bytes{}, {0}, {1, 0}, {2, 0, 1}}) EXPECT_TRUE(is_permutation(order));
  for (const Bytes& order : {Bytes{1}, {0, 0}, {0, 2}, {255, 0}}) EXPECT_FALSE(is_permutation(order));
}

}  // namespace
}  // namespace mithril
