// rans streams of every kernel against a decoder written from the format text, and streams damaged field by field.
#include "csrc/coder/rans.h"

#include <functional>

#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

// docs/format.md 6.5, word for word.
Bytes decode_by_the_text(const Bytes& s, uint64_t n) {
  auto u32 = [&](size_t at) { return s[at] | s[at + 1] << 8 | s[at + 2] << 16 | s[at + 3] << 24; };
  size_t lanes = s[0], size = s[1], escapes = u32(4), raw_escapes = u32(8), rans = u32(12), at = 16;
  const uint8_t* values = &s[at];
  const uint8_t* frequencies = &s[at += size - 1];
  const uint8_t* high = &s[at += size];
  const uint8_t* low = &s[at += lanes];
  at += lanes;
  const uint8_t* rare = s.data() + at;
  const uint8_t* nibbles = s.data() + (at += escapes ? 15 : 0);
  const uint8_t* raw = s.data() + (at += (escapes + 1) / 2);
  const uint8_t* bytes = s.data() + (at += raw_escapes);
  EXPECT_EQ(at + rans, s.size());
  std::vector<uint32_t> x(lanes);
  for (size_t i = 0; i < lanes; i++) x[i] = 256 * high[i] + low[i];
  Bytes symbols;
  size_t escape = 0, raw_escape = 0, byte = 0;
  for (uint64_t j = 0; j < (n + lanes - 1) / lanes * lanes; j++) {
    uint32_t& state = x[j % lanes];
    uint32_t slot = state % 256, k = 0, start = 0;
    while (slot >= start + frequencies[k]) start += frequencies[k++];
    state = frequencies[k] * (state / 256) + slot - start;
    if (state < 256) state = 256 * state + bytes[byte++];
    if (k + 1 < size) {
      symbols.push_back(values[k]);
    } else {
      EXPECT_LT(j, n) << "padding is no escape";
      uint8_t v = nibbles[escape / 2] >> 4 * (escape % 2) & 15;
      escape++;
      symbols.push_back(v < 15 ? rare[v] : raw[raw_escape++]);
    }
  }
  for (uint32_t state : x) EXPECT_EQ(state, 256u);
  EXPECT_TRUE(escape == escapes && raw_escape == raw_escapes && byte == rans);
  symbols.resize(n);
  return symbols;
}

enum class Content { kTwo, kGeometric, kNearlyOne, kSixteen, kThirtyTwo, kForty, kEscapes, kBytes, kRuns };
constexpr Content kContents[] = {Content::kTwo,     Content::kGeometric, Content::kNearlyOne,
                                 Content::kSixteen, Content::kThirtyTwo, Content::kForty,
                                 Content::kEscapes, Content::kBytes,     Content::kRuns};

uint8_t symbol(Content content, uint64_t i, Random& random) {
  uint64_t r = random.next(), zeros = static_cast<uint64_t>(__builtin_ctzll(random.next() | 1ull << 40));
  switch (content) {
    case Content::kTwo: return r & 1 ? 3 : 200;
    case Content::kGeometric: return static_cast<uint8_t>(124 - zeros);
    case Content::kNearlyOne: return r % 1000 ? 77 : static_cast<uint8_t>(r >> 32);
    case Content::kSixteen: return static_cast<uint8_t>(r % 16 * 17);
    case Content::kThirtyTwo: return static_cast<uint8_t>(100 + r % 32);
    case Content::kForty: return static_cast<uint8_t>(r % 40 * 6 + (zeros > 4));
    case Content::kEscapes: return r % 3 ? 9 : static_cast<uint8_t>(r >> 32);
    case Content::kBytes: return static_cast<uint8_t>(r);
    case Content::kRuns: return static_cast<uint8_t>(i / 5000 % 3);
  }
  return 0;
}

Bytes symbols(Content content, uint64_t n, uint32_t bits = 8) {
  Random random(n + bits);
  Bytes bytes(n);
  for (uint64_t i = 0; i < n; i++) bytes[i] = static_cast<uint8_t>(symbol(content, i, random) & ((1 << bits) - 1));
  return bytes;
}

constexpr Isa kIsas[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512};

class RansTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam())) GTEST_SKIP() << "this CPU lacks " << isa_name(GetParam());
  }
  Bytes encode(const Bytes& plane, uint32_t bits, uint32_t max_table, const RansKernels& kernels) {
    Guarded copy(plane.size(), 5), out(2 * plane.size() + 400);
    std::copy(plane.begin(), plane.end(), copy.data());
    Plane shape{copy.data(), plane.size(), bits};
    uint64_t n = encode_rans(shape, count_bytes(shape), max_table, out.data(), out.size(), scratch, kernels);
    EXPECT_TRUE(out.intact());
    return Bytes(out.data(), out.data() + n);
  }
  Bytes encode(const Bytes& plane, uint32_t bits = 8, uint32_t max_table = 32) {
    return encode(plane, bits, max_table, rans_kernels(GetParam()));
  }
  // The stream stands at the end of its memory, so that the sanitizer sees what is read beyond it.
  Bytes decode(const Bytes& stream, uint64_t n, uint32_t bits = 8) {
    Bytes exact(stream.data(), stream.data() + stream.size());
    exact.shrink_to_fit();
    Guarded out(n);
    try {
      decode_rans({exact.data(), exact.size()}, {nullptr, n, bits}, out.data(), scratch, rans_kernels(GetParam()));
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
  void round_trip(Content content, uint64_t n, uint32_t bits = 8, uint32_t max_table = 32) {
    SCOPED_TRACE(testing::Message() << n << " symbols of " << bits << " bits, content " << static_cast<int>(content)
                                    << ", table of " << max_table);
    Bytes plane = symbols(content, n, bits), stream = encode(plane, bits, max_table);
    ASSERT_FALSE(stream.empty());
    ASSERT_LE(stream[1], max_table);
    ASSERT_TRUE(stream == encode(plane, bits, max_table, rans_kernels(Isa::kScalar))) << "the scalar kernel differs";
    ASSERT_TRUE(decode_by_the_text(stream, n) == plane);
    ASSERT_TRUE(decode(stream, n, bits) == plane);
  }

  RansScratch scratch;
};

TEST_P(RansTest, EverySmallCount) {
  for (Content content : kContents)
    for (uint64_t n = 0; n <= 300 && !HasFatalFailure(); n++) round_trip(content, n);
}

TEST_P(RansTest, EveryWidth) {
  for (Content content : kContents)
    for (uint32_t bits = 1; bits <= 8 && !HasFatalFailure(); bits++) round_trip(content, 20011, bits);
}

TEST_P(RansTest, LargePlanes) {
  for (Content content : kContents)
    for (uint64_t n : {65536, (1 << 17) - 1, 1 << 17, (1 << 17) + 77, 1 << 20}) {
      round_trip(content, n);
      if (HasFatalFailure()) return;
    }
}

TEST_P(RansTest, EveryTableSize) {
  for (Content content : {Content::kGeometric, Content::kForty, Content::kBytes})
    for (uint32_t size = 2; size <= 32 && !HasFatalFailure(); size++) round_trip(content, 5000, 8, size);
}

TEST_P(RansTest, EveryTruncationIsCorrupt) {
  for (Content content : {Content::kGeometric, Content::kEscapes, Content::kNearlyOne}) {
    Bytes stream = encode(symbols(content, 700));
    for (size_t n = 0; n < stream.size(); n++)
      EXPECT_FALSE(decodes(Bytes(stream.begin(), stream.begin() + static_cast<long>(n)), 700)) << "cut at " << n;
    stream.push_back(0);
    EXPECT_FALSE(decodes(stream, 700)) << "one byte more";
  }
}

TEST_P(RansTest, EveryBitFlipDecodesOrIsCorrupt) {
  for (Content content : {Content::kGeometric, Content::kEscapes, Content::kNearlyOne})
    for (uint64_t n : {1, 64, 700}) {
      Bytes stream = encode(symbols(content, n));
      for (size_t bit = 0; bit < 8 * stream.size(); bit++) {
        stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        decodes(stream, n);
        stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      }
    }
}

// A valid header with random states, escapes and bytes: the loops run on, however little is left.
TEST_P(RansTest, GarbageBehindAValidHeader) {
  Bytes good = encode(symbols(Content::kEscapes, 3000));
  size_t states = 16 + 2 * size_t{good[1]} - 1;
  for (uint64_t seed = 0; seed < 300; seed++) {
    Bytes stream = good, noise = random_bytes(stream.size(), seed);
    std::copy(noise.begin() + static_cast<long>(states), noise.end(), stream.begin() + static_cast<long>(states));
    for (size_t i = 0; i < 64; i++) stream[states + i] |= 1;
    for (uint64_t n : {3000, 64, 1 << 18}) EXPECT_FALSE(decodes(stream, n));
  }
}

TEST_P(RansTest, FieldsOutOfRangeAreCorrupt) {
  Bytes plane = symbols(Content::kEscapes, 700), good = encode(plane);
  size_t size = good[1], values = 16, frequencies = values + size - 1, high = frequencies + size;
  ASSERT_GT(size, 3u);
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
      {"rans stream: raw_escapes", put(8, ~0u)},
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
  Bytes empty = encode({});
  empty[empty.size() - 64 + 5] = 1;
  EXPECT_ERROR(kCorrupt, "the state of lane 5 does not end as it began", decode(empty, 0));
}

TEST_P(RansTest, EscapesMustAgreeWithTheirCounts) {
  Bytes plane(99, 5), good, stream;
  plane[3] = 200, plane[90] = 201, plane[96] = 202;  // the nibbles 0 to 2
  good = encode(plane, 8, 2);
  size_t rare = 16 + 2 * size_t{good[1]} - 1 + 128, nibbles = rare + 15;
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

TEST_P(RansTest, ZeroWhenTheStreamDoesNotFit) {
  for (Content content : {Content::kGeometric, Content::kEscapes, Content::kBytes}) {
    Bytes bytes = symbols(content, 5000);
    Plane plane{bytes.data(), 5000, 8};
    uint64_t full = encode(bytes).size();
    auto encode_to = [&](uint64_t capacity) {
      Guarded out(capacity);
      uint64_t n = encode_rans(plane, count_bytes(plane), 32, out.data(), capacity, scratch, rans_kernels(GetParam()));
      EXPECT_TRUE(out.intact());
      return n;
    };
    for (uint64_t capacity : {uint64_t{0}, uint64_t{15}, uint64_t{1000}, full - 1}) EXPECT_EQ(encode_to(capacity), 0u);
    EXPECT_EQ(encode_to(full + 200), full);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, RansTest, testing::ValuesIn(kIsas),
                         [](const auto& i) { return std::string(isa_name(i.param)); });

// Bits per symbol against the order-0 entropy of what was drawn.
TEST(Rans, NearTheEntropy) {
  RansScratch scratch;
  struct Row {
    Content content;
    double bits;  // at most
  };
  for (const Row& row : {Row{Content::kTwo, 1.02}, Row{Content::kGeometric, 2.04}, Row{Content::kNearlyOne, 0.03},
                         Row{Content::kSixteen, 4.03}}) {
    Bytes bytes = symbols(row.content, 1 << 20), out(bytes.size());
    Plane plane{bytes.data(), bytes.size(), 8};
    uint64_t n = encode_rans(plane, count_bytes(plane), 32, out.data(), out.size(), scratch);
    ASSERT_GT(n, 0u);
    EXPECT_LT(8.0 * static_cast<double>(n) / static_cast<double>(bytes.size()), row.bits)
        << static_cast<int>(row.content);
  }
}

}  // namespace
}  // namespace mithril
