// One record per coder drives round trips, truncation and bit flips.
#include "csrc/coder/coder.h"

#include "tests/cpp/coder/rans_planes.h"
#include "tests/cpp/coder/rans_text.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

constexpr uint32_t kWidths[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128};

enum class Kind { kConstant, kSkewed, kRandom, kFew };

Bytes symbols(Kind content, uint64_t count, uint32_t bits, uint64_t seed) {
  Random random(seed);
  uint64_t width = (bits + 7) / 8;
  uint8_t mask = static_cast<uint8_t>(bits < 8 ? (1 << bits) - 1 : 0xff);
  Bytes bytes(count * width);
  for (uint64_t i = 0; i < bytes.size(); i++) {
    uint64_t x = content == Kind::kConstant ? 0x5b + i % width
                 : content == Kind::kSkewed ? static_cast<uint64_t>(__builtin_ctzll(random.next() | 1u << 30))
                                            : random.next();
    bytes[i] = static_cast<uint8_t>(x & mask);
  }
  if (content == Kind::kFew) {  // of 20 symbols
    Bytes values = random_bytes(20 * width, 1);
    for (uint64_t i = 0; i < count; i++) std::copy_n(&values[random.below(20) * width], width, &bytes[i * width]);
  }
  return bytes;
}

struct Record {
  const char* name;
  Coder coder;
  Kind contents[3];
  // Writes a stream into exactly the room that the declaration asks for.
  Bytes (*encode)(const Plane&, CoderScratch&);
  uint32_t min_bits = 1, max_bits = 128;
  uint64_t step = 1;  // a stream tells counts apart that differ by so much, at least
  bool with_context = false;
};

// The context of the tests: says something of a skewed plane, and nothing of others.
Bytes context_of(uint64_t count) {
  Bytes context(count);
  for (uint64_t i = 0; i < count; i++) context[i] = static_cast<uint8_t>(i * 29 % 251);
  return context;
}

const Record kRecords[] = {
    {"raw",
     Coder::kRaw,
     {Kind::kConstant, Kind::kSkewed, Kind::kRandom},
     [](const Plane& plane, CoderScratch&) {
       Guarded out(raw_stream_size(plane.count, plane.bits));
       EXPECT_EQ(encode_raw(plane, out.data()), out.size());
       EXPECT_TRUE(out.intact());
       return Bytes(out.data(), out.data() + out.size());
     }},
    {"constant",
     Coder::kConstant,
     {Kind::kConstant, Kind::kConstant, Kind::kConstant},
     [](const Plane& plane, CoderScratch&) {
       Guarded out((plane.bits + 7) / 8);
       if (plane.count) {
         EXPECT_EQ(encode_constant(plane, out.data()), out.size());
       }
       EXPECT_TRUE(out.intact());
       return Bytes(out.data(), out.data() + out.size());
     }},
    {"zstd",
     Coder::kZstd,
     {Kind::kConstant, Kind::kSkewed, Kind::kRandom},
     [](const Plane& plane, CoderScratch& scratch) {
       Guarded out(plane.bytes() + 64);
       uint64_t n = encode_zstd(plane, 3, out.data(), out.size(), scratch.zstd);
       EXPECT_GT(n, 0u);
       EXPECT_TRUE(out.intact());
       return Bytes(out.data(), out.data() + n);
     }},
    {"rans",
     Coder::kRans,
     {Kind::kConstant, Kind::kSkewed, Kind::kRandom},
     [](const Plane& plane, CoderScratch&) {
       Bytes symbols(plane.symbols, plane.symbols + plane.count);
       RansTable t = table_of(symbols, 32, plane.bits);
       return encode_rans_by_the_text(symbols, 64, Bytes(t.value, t.value + t.size - 1),
                                      Bytes(t.frequency, t.frequency + t.size));
     },
     1,
     8,
     64},
    {"context_rans",
     Coder::kContextRans,
     {Kind::kConstant, Kind::kSkewed, Kind::kRandom},
     [](const Plane& plane, CoderScratch& scratch) {
       Guarded out(2 * plane.count + 600);
       choose_segments({plane.symbols, plane.count}, plane.count, {}, scratch.rans[0].model);
       uint64_t n = encode_context_rans(plane, nullptr, out.data(), out.size(), scratch.rans[0], rans_kernels(isa()));
       EXPECT_GT(n, 0u);
       EXPECT_TRUE(out.intact());
       return Bytes(out.data(), out.data() + n);
     },
     1,
     8,
     128},
    {"context_rans_classes",
     Coder::kContextRans,
     {Kind::kConstant, Kind::kSkewed, Kind::kRandom},
     [](const Plane& plane, CoderScratch& scratch) {
       Bytes symbols(plane.symbols, plane.symbols + plane.count);
       Bytes context = context_of(plane.count + 1);
       Guarded out(3 * plane.count + 2000);
       scratch.rans[0].model = classes_of(symbols, context, 3, 20, 64, [](uint32_t c) { return c % 3; }, plane.bits);
       uint64_t n =
           encode_context_rans(plane, context.data(), out.data(), out.size(), scratch.rans[0], rans_kernels(isa()));
       EXPECT_GT(n, 0u);
       EXPECT_TRUE(out.intact());
       return Bytes(out.data(), out.data() + n);
     },
     1,
     8,
     64,
     true},
    {"palette",
     Coder::kPalette,
     {Kind::kConstant, Kind::kFew, Kind::kFew},
     [](const Plane& plane, CoderScratch& scratch) {
       Bytes none(4 + plane.bits / 8);  // one value, and no raw indices
       if (plane.count == 0) return none;
       Guarded out(plane.bytes() + 400);
       uint64_t n = encode_palette(plane, out.data(), out.size(), scratch);
       EXPECT_GT(n, 0u);
       EXPECT_TRUE(out.intact());
       return Bytes(out.data(), out.data() + n);
     },
     16,
     128,
     64}};

class CoderTest : public testing::TestWithParam<Record> {
 protected:
  // Decodes to guarded memory: right symbols, or corrupt. Returns whether it decoded.
  bool decodes(const Bytes& stream, uint64_t count, uint32_t bits, Bytes* to = nullptr) {
    Plane shape{nullptr, count, bits};
    Guarded out(shape.bytes());
    Bytes context = context_of(count + 1);
    bool decoded = true;
    try {
      decode(GetParam().coder, {stream.data(), stream.size()}, shape,
             GetParam().with_context ? context.data() : nullptr, out.data(), scratch);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kCorrupt) << e.what();
      decoded = false;
    }
    EXPECT_TRUE(out.intact());
    for (uint64_t i = 0; decoded && bits < 8 && i < count; i++) EXPECT_EQ(out.data()[i] >> bits, 0);
    if (to) to->assign(out.data(), out.data() + out.size());
    return decoded;
  }

  void round_trip(Kind content, uint64_t count, uint32_t bits) {
    SCOPED_TRACE(testing::Message() << count << " symbols of " << bits << " bits");
    Bytes plane = symbols(content, count, bits, count + bits), back;
    Bytes stream = GetParam().encode({plane.data(), count, bits}, scratch);
    ASSERT_TRUE(decodes(stream, count, bits, &back));
    ASSERT_TRUE(back == plane);
    // The count is the reader's, and the stream must agree with it. Packed symbols share bytes, a constant is any
    // count, and rans pads to its lanes.
    uint64_t step = GetParam().coder == Coder::kRaw && bits < 8 ? 8 : GetParam().step;
    if (GetParam().coder != Coder::kConstant && count > step) {
      EXPECT_FALSE(decodes(stream, count - step, bits) || decodes(stream, count + step, bits));
    }
  }

  std::vector<uint32_t> widths() const {
    std::vector<uint32_t> widths;
    for (uint32_t bits : kWidths)
      if (bits >= GetParam().min_bits && bits <= GetParam().max_bits) widths.push_back(bits);
    return widths;
  }

  CoderScratch scratch;
};

TEST_P(CoderTest, RoundTrip) {
  for (uint32_t bits : widths())
    for (Kind content : GetParam().contents) {
      for (uint64_t count = 0; count <= 140; count++) round_trip(content, count, bits);
      round_trip(content, 20000 / ((bits + 7) / 8) + 3, bits);
      if (HasFatalFailure()) return;
    }
}

TEST_P(CoderTest, EveryTruncationIsCorrupt) {
  for (uint32_t bits : widths())
    for (uint64_t count : {1, 9, 300}) {
      Bytes plane = symbols(GetParam().contents[1], count, bits, 5);
      Bytes stream = GetParam().encode({plane.data(), count, bits}, scratch);
      for (size_t n = 0; n < stream.size(); n++)
        EXPECT_FALSE(decodes(Bytes(stream.begin(), stream.begin() + n), count, bits)) << bits << " bits, cut at " << n;
      stream.push_back(0);
      EXPECT_FALSE(decodes(stream, count, bits)) << bits << " bits, one byte more";
    }
}

TEST_P(CoderTest, EveryBitFlipDecodesOrIsCorrupt) {
  for (uint32_t bits : widths())
    for (uint64_t count : {1, 9, 300}) {
      Bytes plane = symbols(GetParam().contents[1], count, bits, 5);
      Bytes stream = GetParam().encode({plane.data(), count, bits}, scratch);
      for (size_t bit = 0; bit < 8 * stream.size(); bit++) {
        stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        decodes(stream, count, bits);
        stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      }
    }
}

TEST_P(CoderTest, GarbageDecodesOrIsCorrupt) {
  for (uint32_t bits : widths())
    for (uint64_t size = 0; size < 60; size++) decodes(random_bytes(size, size), size, bits);
}

INSTANTIATE_TEST_SUITE_P(Coders, CoderTest, testing::ValuesIn(kRecords),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(Raw, PacksAsTheFormatSays) {  // bit k of symbol i is bit i·b + k of the stream
  for (uint32_t bits = 1; bits < 8; bits++)
    for (uint64_t count = 0; count <= 70; count++) {
      Bytes plane = symbols(Kind::kRandom, count, bits, count), expected((count * bits + 7) / 8), out(expected.size());
      for (uint64_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < bits; k++)
          if (plane[i] >> k & 1) expected[(i * bits + k) / 8] |= static_cast<uint8_t>(1 << (i * bits + k) % 8);
      ASSERT_EQ(raw_stream_size(count, bits), expected.size());
      encode_raw({plane.data(), count, bits}, out.data());
      EXPECT_TRUE(out == expected) << count << " of " << bits;
    }
  EXPECT_EQ(raw_stream_size(uint64_t{1} << 60, 7), uint64_t{7} << 57);
}

TEST(Raw, UnusedBitsAreZero) {
  CoderScratch scratch;
  uint8_t stream = 0xff, out[2];
  EXPECT_ERROR(kCorrupt, "unused bits", decode(Coder::kRaw, {&stream, 1}, {nullptr, 2, 3}, nullptr, out, scratch));
  stream = 0x3f;
  decode(Coder::kRaw, {&stream, 1}, {nullptr, 2, 3}, nullptr, out, scratch);
  EXPECT_EQ(out[1], 7);
}

TEST(Constant, IsConstant) {
  for (uint32_t bits : kWidths)
    for (uint64_t count : {1, 2, 65, 1000}) {
      Bytes plane = symbols(Kind::kConstant, count, bits, 1);
      EXPECT_TRUE(is_constant({plane.data(), count, bits}));
      plane.back() ^= 1;
      EXPECT_EQ(is_constant({plane.data(), count, bits}), count == 1);
      EXPECT_FALSE(is_constant({plane.data(), 0, bits}));
    }
}

TEST(Symbols, WithBitsAboveTheirWidthAreCorrupt) {
  CoderScratch scratch;
  for (uint32_t bits = 1; bits < 8; bits++) {
    Bytes plane(50, static_cast<uint8_t>((1 << bits) - 1)), out(50), stream(200);
    auto decode_after = [&](Coder coder) {
      uint64_t n = coder == Coder::kZstd
                       ? encode_zstd({plane.data(), 50, 8}, 3, stream.data(), stream.size(), scratch.zstd)
                       : encode_constant({plane.data(), 50, 8}, stream.data());
      decode(coder, {stream.data(), n}, {nullptr, 50, bits}, nullptr, out.data(), scratch);
    };
    EXPECT_NO_THROW(decode_after(Coder::kConstant));
    EXPECT_NO_THROW(decode_after(Coder::kZstd));
    plane.assign(50, static_cast<uint8_t>(1 << bits));
    EXPECT_ERROR(kCorrupt, "a symbol has more than", decode_after(Coder::kConstant));
    plane.assign(50, 0);
    plane[49] = static_cast<uint8_t>(1 << bits);
    EXPECT_ERROR(kCorrupt, "a symbol has more than", decode_after(Coder::kZstd));
  }
}

}  // namespace
}  // namespace mithril
