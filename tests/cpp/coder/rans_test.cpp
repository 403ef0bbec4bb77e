// Streams of the coder rans, which are only read any more: made by the format text, and damaged field by field.
#include "csrc/coder/rans.h"

#include <functional>

#include "tests/cpp/coder/rans_planes.h"
#include "tests/cpp/coder/rans_text.h"
#include "tests/cpp/support/expect_error.h"

namespace mithril {
namespace {

// 64 lanes; 5 has 255 of 256 slots, the escape the last. Three escapes, at 3, 90 and 96 of 99 symbols.
const Bytes kValues = {5}, kFrequencies = {255, 1};

Bytes with_escapes() {
  Bytes plane(99, 5);
  plane[3] = 200, plane[90] = 201, plane[96] = 202;
  return plane;
}

class RansTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam())) GTEST_SKIP() << "this CPU lacks " << isa_name(GetParam());
  }
  // The stream stands at the end of its memory, so that the sanitizer sees what is read beyond it.
  Bytes decode(const Bytes& stream, uint64_t n, uint32_t bits = 8) {
    Bytes exact(stream.data(), stream.data() + stream.size());
    exact.shrink_to_fit();
    Guarded out(n);
    try {
      decode_rans(Coder::kRans, {exact.data(), exact.size()}, {nullptr, n, bits}, nullptr, out.data(), scratch,
                  rans_kernels(GetParam()));
    } catch (const Error&) {
      EXPECT_TRUE(out.intact());
      throw;
    }
    EXPECT_TRUE(out.intact());
    return Bytes(out.data(), out.data() + n);
  }
  // Whether it decodes; if not, the error is corrupt.
  bool decodes(const Bytes& stream, uint64_t n) {
    try {
      decode(stream, n);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kCorrupt) << e.what();
      return false;
    }
    return true;
  }

  RansScratch scratch;
};

// By hand: a symbol for each lane. 7 has 128 slots, 9 has 127, the escape one. A state that ends at 256 is, before its
// symbol, 256 · (256 div f) + start + 256 mod f; for the escape that is too much, so that a byte of it, zero, goes.
TEST_P(RansTest, AStreamByHand) {
  Bytes plane(64, 7), high(64, 2), low(64, 0);
  plane[1] = 9, low[1] = 128 + 2;
  plane[2] = 77, high[2] = 1, low[2] = 255;
  const Bytes head = {64, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 9, 128, 127, 1};
  const Bytes rare = {77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nibbles = {0}, bytes = {0};
  Bytes stream;
  for (const Bytes& part : {head, high, low, rare, nibbles, bytes})
    stream.insert(stream.end(), part.begin(), part.end());
  EXPECT_TRUE(decode_by_the_text(Coder::kRans, stream, 64) == plane);
  EXPECT_TRUE(encode_rans_by_the_text(plane, 64, {7, 9}, {128, 127, 1}) == stream);
  EXPECT_TRUE(decode(stream, 64) == plane);
}

TEST_P(RansTest, WhatTheTextEncodes) {
  for (Content content : kContents)
    for (uint32_t lanes : {64, 128})
      for (uint32_t size : {2, 3, 16, 17, 32})
        for (uint64_t n : {0, 1, 63, 64, 65, 128, 129, 300, 3000}) {
          SCOPED_TRACE(testing::Message() << n << " symbols, content " << static_cast<int>(content) << ", " << lanes
                                          << " lanes, table of " << size);
          Bytes plane = rans_symbols(content, n);
          RansTable t = table_of(plane, size);
          Bytes values(t.value, t.value + size - 1);
          std::rotate(values.begin(), values.begin() + size / 2, values.end());  // in any order
          Bytes stream = encode_rans_by_the_text(plane, lanes, values, Bytes(t.frequency, t.frequency + size));
          ASSERT_TRUE(decode_by_the_text(Coder::kRans, stream, n) == plane);
          ASSERT_TRUE(decode(stream, n) == plane);
        }
}

TEST_P(RansTest, EveryTruncationIsCorrupt) {
  for (uint64_t n : {99, 700}) {
    Bytes plane = rans_symbols(Content::kEscapes, n);
    Bytes stream = encode_rans_by_the_text(plane, 64, {9, 10}, {170, 1, 85});
    for (size_t cut = 0; cut < stream.size(); cut++)
      EXPECT_FALSE(decodes(Bytes(stream.begin(), stream.begin() + static_cast<long>(cut)), n)) << "cut at " << cut;
    stream.push_back(0);
    EXPECT_FALSE(decodes(stream, n)) << "one byte more";
  }
}

TEST_P(RansTest, EveryBitFlipDecodesOrIsCorrupt) {
  for (uint64_t n : {1, 64, 700}) {
    Bytes stream = encode_rans_by_the_text(rans_symbols(Content::kEscapes, n), 64, {9, 10}, {170, 1, 85});
    for (size_t bit = 0; bit < 8 * stream.size(); bit++) {
      stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      decodes(stream, n);
      stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
  }
}

TEST_P(RansTest, FieldsOutOfRangeAreCorrupt) {
  Bytes good = encode_rans_by_the_text(rans_symbols(Content::kEscapes, 700), 64, {9, 10}, {170, 1, 85});
  size_t size = good[1], values = 16, frequencies = values + size - 1, high = frequencies + size;
  auto u32 = [&](size_t at) { return good[at] | good[at + 1] << 8 | good[at + 2] << 16 | good[at + 3] << 24; };
  auto put = [](size_t at, uint32_t v) { return [=](Bytes& s) { std::memcpy(&s[at], &v, 4); }; };
  struct Row {
    const char* error;
    std::function<void(Bytes&)> change;
  };
  const Row rows[] = {
      {"lanes 0", [](Bytes& s) { s[0] = 0; }},
      {"lanes 65", [](Bytes& s) { s[0] = 65; }},
      {"lanes 255", [](Bytes& s) { s[0] = 255; }},
      {"table_size 1", [](Bytes& s) { s[1] = 1; }},
      {"table_size 33", [](Bytes& s) { s[1] = 33; }},
      {"reserved", [](Bytes& s) { s[2] = 1; }},
      {"reserved", [](Bytes& s) { s[3] = 128; }},
      {"escape_count 701", put(4, 701)},
      {"escape_count", put(4, ~0u)},
      {"raw_escape_count", put(8, ~0u)},
      {"rans stream: bytes", put(12, ~0u)},
      {"bytes too long", put(12, u32(12) - 1)},
      {"is there twice", [&](Bytes& s) { s[values] = s[values + 1]; }},
      {"have a zero", [&](Bytes& s) { s[frequencies + size - 1] += s[frequencies], s[frequencies] = 0; }},
      {"add up to 257", [&](Bytes& s) { s[frequencies]++; }},
      {"a state below 256", [&](Bytes& s) { s[high + 63] = 0; }},
  };
  for (const Row& row : rows) {
    Bytes stream = good;
    row.change(stream);
    EXPECT_ERROR(kCorrupt, row.error, decode(stream, 700)) << row.error;
  }
  EXPECT_ERROR(kCorrupt, "symbols of 16 bits", decode(good, 700, 16));
  Bytes empty = encode_rans_by_the_text({}, 64, kValues, kFrequencies);
  empty[empty.size() - 64 + 5] = 1;
  EXPECT_ERROR(kCorrupt, "the state of lane 5 does not end as it began", decode(empty, 0));
}

TEST_P(RansTest, EscapesMustAgreeWithTheirCounts) {
  Bytes plane = with_escapes(), good = encode_rans_by_the_text(plane, 64, kValues, kFrequencies), stream;
  size_t rare = 16 + 3 + 128, nibbles = rare + 15;
  ASSERT_EQ(good[4], 3);
  ASSERT_TRUE(good[nibbles] == 0x10 && good[nibbles + 1] == 0x02);
  auto changed = [&](auto change) {
    stream = good;
    change(stream);
    return stream;
  };
  EXPECT_ERROR(kCorrupt, "more escapes stand in full", decode(changed([&](Bytes& s) { s[nibbles] = 0xf0; }), 99));
  auto in_full = [&](Bytes& s) {
    s[nibbles] = 0xf0, s[8] = 1, s.insert(s.begin() + static_cast<long>(nibbles) + 2, 9);
  };
  plane[90] = 9;
  EXPECT_TRUE(decode(changed(in_full), 99) == plane);
  EXPECT_ERROR(kCorrupt, "fewer escapes stand in full",
               decode(changed([&](Bytes& s) { in_full(s), s[nibbles] = 0x10; }), 99));
  EXPECT_ERROR(kCorrupt, "unused half", decode(changed([&](Bytes& s) { s[nibbles + 1] |= 0x10; }), 99));
  // One escape more in the list than in the symbols, and one less.
  EXPECT_ERROR(kCorrupt, "left over", decode(changed([&](Bytes& s) { s[4] = 4; }), 99));
  EXPECT_ERROR(kCorrupt, "rans stream: by",
               decode(changed([&](Bytes& s) { s[4] = 2, s.erase(s.begin() + static_cast<long>(nibbles) + 1); }), 99));
  // The symbol after the last is padding, and no escape.
  EXPECT_ERROR(kCorrupt, "padding is an escape", decode(good, 96));
  EXPECT_TRUE(decodes(good, 97));
}

INSTANTIATE_TEST_SUITE_P(Isa, RansTest, testing::Values(Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& i) { return std::string(isa_name(i.param)); });

}  // namespace
}  // namespace mithril
