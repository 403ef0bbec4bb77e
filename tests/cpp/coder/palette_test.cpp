#include "csrc/coder/coder.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

constexpr uint32_t kWidths[] = {16, 32, 64, 128};

// `values` different symbols, each of them at least once; which one is next is random, or all of one come together.
Bytes plane_of(uint32_t bits, uint64_t values, uint64_t count, bool sorted = false) {
  uint64_t width = bits / 8;
  Random random(values + count);
  Bytes palette(values * width), plane(count * width);
  for (uint64_t v = 0; v < values; v++) {  // of 16 bytes, only one half differs from the others
    uint64_t x = v * 0x9e3779b97f4a7c15;
    std::memcpy(&palette[v * width + (width > 8 && v % 2 ? 8 : 0)], &x, std::min<uint64_t>(width, 8));
  }
  for (uint64_t i = 0; i < count; i++) {
    uint64_t v = i < values ? i : sorted ? i * values / count : random.below(values);
    std::copy_n(&palette[v * width], width, &plane[i * width]);
  }
  return plane;
}

Bytes encode(const Bytes& plane, uint32_t bits, uint64_t capacity, CoderScratch& scratch) {
  Guarded out(capacity);
  uint64_t n = encode_palette({plane.data(), plane.size() / (bits / 8), bits}, out.data(), capacity, scratch);
  EXPECT_TRUE(out.intact());
  return Bytes(out.data(), out.data() + n);
}

Bytes decoded(const Bytes& stream, uint64_t count, uint32_t bits, CoderScratch& scratch) {
  Bytes exact(stream.data(), stream.data() + stream.size());
  exact.shrink_to_fit();
  Plane shape{nullptr, count, bits};
  Guarded out(shape.bytes());
  try {
    decode(Coder::kPalette, {exact.data(), exact.size()}, shape, nullptr, out.data(), scratch);
  } catch (const Error&) {
    EXPECT_TRUE(out.intact());
    throw;
  }
  EXPECT_TRUE(out.intact());
  return Bytes(out.data(), out.data() + out.size());
}

TEST(Palette, RoundTrips) {
  CoderScratch scratch;
  for (uint32_t bits : kWidths)
    for (uint64_t values : {1, 2, 3, 16, 17, 255, 256, 257})
      for (uint64_t count : {uint64_t{1}, uint64_t{70}, uint64_t{500}, uint64_t{20001}, kMaxBlockBytes / (bits / 8)})
        for (bool sorted : {false, true}) {
          if (count < values) continue;
          SCOPED_TRACE(testing::Message() << count << " symbols of " << bits << " bits, " << values << " values");
          Bytes plane = plane_of(bits, values, count, sorted);
          Bytes stream = encode(plane, bits, plane.size() + 300, scratch);
          if (values > 256) {
            EXPECT_TRUE(stream.empty());
            continue;
          }
          ASSERT_GT(stream.size(), 4 + values * (bits / 8));
          EXPECT_EQ(stream[0], values - 1);
          EXPECT_TRUE(stream[1] == 0 || stream[1] == 2 || stream[1] == 4);
          EXPECT_EQ(stream[2] | stream[3], 0);
          EXPECT_TRUE(decoded(stream, count, bits, scratch) == plane);
          // With room to spare for zstd, and not in much less.
          EXPECT_TRUE(encode(plane, bits, stream.size() + 32, scratch) == stream);
          for (uint64_t room : {uint64_t{0}, uint64_t{3}, values * (bits / 8) + 4, stream.size() / 2})
            EXPECT_TRUE(encode(plane, bits, room, scratch).empty());
        }
}

TEST(Palette, IndicesTakeTheSmallestCoder) {
  CoderScratch scratch;
  auto coder = [&](const Bytes& plane) { return encode(plane, 32, plane.size(), scratch).at(1); };
  EXPECT_EQ(coder(plane_of(32, 16, 20000)), 0);        // any of 16: packed
  EXPECT_EQ(coder(plane_of(32, 20, 20000)), 4);        // 20 of 32
  EXPECT_EQ(coder(plane_of(32, 20, 20000, true)), 2);  // together
}

TEST(Palette, NarrowOrEmptyPlanesHaveNone) {
  CoderScratch scratch;
  Bytes plane(100, 7), out(100);
  for (uint32_t bits = 1; bits <= 8; bits++) {
    EXPECT_EQ(encode_palette({plane.data(), 100, bits}, out.data(), 100, scratch), 0u);
    EXPECT_ERROR(kCorrupt, "palette stream: symbols of", decoded({0, 0, 0, 0, 7, 0}, 8, bits, scratch));
  }
  EXPECT_EQ(encode_palette({plane.data(), 0, 16}, out.data(), 100, scratch), 0u);
  EXPECT_TRUE(decoded({0, 0, 0, 0, 7, 8}, 0, 16, scratch).empty());
}

// Three values, indices 0, 1, 2, 0 of two bits.
TEST(Palette, FieldsOutOfRangeAreCorrupt) {
  CoderScratch scratch;
  const Bytes good = {2, 0, 0, 0, 1, 10, 2, 20, 3, 30, 0x24};
  EXPECT_TRUE(decoded(good, 4, 16, scratch) == (Bytes{1, 10, 2, 20, 3, 30, 1, 10}));
  struct Row {
    const char* error;
    size_t at;
    uint8_t value;
  };
  for (const Row& row : {Row{"values needs 512 bytes", 0, 255}, Row{"an index has no value", 10, 0x27},
                         Row{"coder 1 is not", 1, 1}, Row{"coder 3 is not", 1, 3}, Row{"coder 5 is not", 1, 5},
                         Row{"coder 255 is not", 1, 255}, Row{"zstd stream", 1, 2}, Row{"rans stream", 1, 4},
                         Row{"reserved is not zero", 2, 1}, Row{"reserved is not zero", 3, 128}}) {
    Bytes stream = good;
    stream[row.at] = row.value;
    EXPECT_ERROR(kCorrupt, row.error, decoded(stream, 4, 16, scratch)) << row.error;
  }
  for (size_t n = 0; n < good.size(); n++)
    EXPECT_ERROR(kCorrupt, "stream", decoded(Bytes(good.begin(), good.begin() + static_cast<long>(n)), 4, 16, scratch));
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_ERROR(kCorrupt, "the indices need less raw", decoded(longer, 4, 16, scratch));
  EXPECT_ERROR(kCorrupt, "raw stream", decoded(good, 5, 16, scratch));
  EXPECT_NO_THROW(decoded(good, 3, 16, scratch));
  Bytes fourth = good;
  fourth.back() = 0x64;
  EXPECT_ERROR(kCorrupt, "unused bits", decoded(fourth, 3, 16, scratch));
}

}  // namespace
}  // namespace mithril
