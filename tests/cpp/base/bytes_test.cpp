#include "csrc/base/bytes.h"

#include "tests/cpp/support/expect_error.h"

namespace mithril {
namespace {

TEST(Bytes, CursorReadsWhatBuilderWrites) {
  ByteBuilder b;
  b.u8(0x12), b.u16(0x3456), b.u32(0x789abcde), b.u64(0x0123456789abcdef), b.hash128({1, 2}), b.text("abc");
  b.zeros(3), b.pad64();
  EXPECT_EQ(b.size(), 64u);
  EXPECT_EQ(b.data()[1], 0x56) << "little-endian";
  b.set_u64(7, 42);
  ByteCursor c({b.data(), b.size()}, "thing", 1000);
  EXPECT_EQ(c.u8("a"), 0x12);
  EXPECT_EQ(c.u16("b"), 0x3456);
  EXPECT_EQ(c.u32("c"), 0x789abcdeu);
  EXPECT_EQ(c.u64("d"), 42u);
  EXPECT_EQ(c.hash128("e"), (Hash128{1, 2}));
  EXPECT_NE((Hash128{1, 2}), (Hash128{2, 1}));
  EXPECT_EQ(c.text(3, "f"), "abc");
  EXPECT_EQ(c.position(), 34u);
  EXPECT_EQ(c.offset(), 1034u);
  EXPECT_EQ(c.before().size, 34u);
  c.zeros(30, "g");
  EXPECT_EQ(c.left(), 0u);
}

TEST(Bytes, EveryOverrunIsCorruptWithFieldAndOffset) {
  struct Row {
    uint64_t needs;
    void (*read)(ByteCursor&);
  };
  const Row rows[] = {
      {1, [](ByteCursor& c) { c.u8("field"); }},         {2, [](ByteCursor& c) { c.u16("field"); }},
      {4, [](ByteCursor& c) { c.u32("field"); }},        {8, [](ByteCursor& c) { c.u64("field"); }},
      {16, [](ByteCursor& c) { c.hash128("field"); }},   {5, [](ByteCursor& c) { c.bytes(5, "field"); }},
      {5, [](ByteCursor& c) { c.text(5, "field"); }},    {5, [](ByteCursor& c) { c.zeros(5, "field"); }},
      {8, [](ByteCursor& c) { c.count(1, 9, "field"); }}};
  for (const Row& row : rows)
    for (uint64_t size = 0; size <= row.needs; size++) {
      std::vector<uint8_t> bytes(3 + size);
      ByteCursor c({bytes.data(), bytes.size()}, "thing", 100);
      c.bytes(3, "start");
      std::string at = row.needs == 16 && size >= 8 ? "(offset 111)" : "(offset 103)";  // a hash is two u64
      if (size == row.needs)
        EXPECT_NO_THROW(row.read(c));
      else {
        EXPECT_ERROR(kCorrupt, "thing: field needs", row.read(c));
        ByteCursor d({bytes.data(), bytes.size()}, "thing", 103 - 3);
        d.bytes(3, "start");
        EXPECT_ERROR(kCorrupt, at, row.read(d));
      }
    }
  ByteCursor c({nullptr, 0}, "thing", 0);
  EXPECT_ERROR(kCorrupt, "field", c.bytes(~uint64_t{0}, "field"));
}

TEST(Bytes, ZerosNamesTheFirstOther) {
  uint8_t bytes[] = {0, 0, 7, 0};
  ByteCursor c({bytes, 4}, "thing", 50);
  EXPECT_ERROR(kCorrupt, "thing: reserved is not zero (offset 52)", c.zeros(4, "reserved"));
}

TEST(Bytes, CountsThatLie) {
  struct Row {
    uint64_t count, smallest, limit;
    const char* error;
  };
  for (const Row& row : {Row{2, 10, 2, nullptr}, Row{3, 10, 9, "does not fit in the 20 bytes left"},
                         Row{3, 1, 2, "exceeds the limit 2"}, Row{~uint64_t{0}, 40, ~uint64_t{0}, "does not fit"}}) {
    ByteBuilder b;
    b.u64(row.count), b.zeros(20);
    ByteCursor c({b.data(), b.size()}, "thing", 0);
    if (row.error)
      EXPECT_ERROR(kCorrupt, row.error, c.count(row.smallest, row.limit, "n"));
    else
      EXPECT_EQ(c.count(row.smallest, row.limit, "n"), row.count);
  }
}

TEST(Bytes, ErrorsNameTheFieldReadLast) {
  uint8_t bytes[] = {0, 9, 0};
  ByteCursor c({bytes, 3}, "thing", 8);
  c.u8("first");
  c.u16("id");
  EXPECT_ERROR(kUnsupported, "thing: id 9 is not known (offset 9)", c.unsupported("id", "9 is not known"));
  EXPECT_ERROR(kCorrupt, "thing: id is odd (offset 9)", c.fail("id", "is odd"));
  EXPECT_ERROR(kCorrupt, "thing: all of it (offset 8)", c.fail("all", "of it", 0));
}

}  // namespace
}  // namespace mithril
