#include "csrc/base/checksum.h"
#include "csrc/codec/codec.h"
#include "csrc/transform/transform.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

constexpr uint64_t kBlockBytes = EncoderOptions{}.block_bytes;

// A table of one block.
Table table_of(const EncodedBlock& b, uint64_t elements) {
  Table t;
  t.block_elements = elements;
  t.recipes = {{b.transform, b.planes}};
  t.streams.assign(b.streams.begin(), b.streams.begin() + b.planes.count);
  t.blocks = {{b.stored_size, b.stored_checksum, b.raw_checksum, 0, 0, 0}};
  return t;
}

class BlockTest : public testing::TestWithParam<DTypeInfo> {
 protected:
  // Encodes, decodes, compares; returns the stored size.
  uint64_t round_trip(const Bytes& raw, const EncoderOptions& options) {
    const DTypeInfo& d = GetParam();
    uint64_t elements = raw.size() / d.element_bytes;
    Guarded out(encoded_capacity(raw.size())), back(raw.size());
    EncodedBlock b = encode_block(raw.data(), elements, d, options, scratch, out.data());
    EXPECT_TRUE(out.intact());
    EXPECT_LE(b.stored_size, raw.size());
    EXPECT_EQ(b.raw_checksum, xxh3_64(raw.data(), raw.size()));
    EXPECT_EQ(b.stored_checksum, xxh3_64(b.data, b.stored_size));
    EXPECT_TRUE(b.planes == planes_of(b.transform, d));
    Table t = table_of(b, elements);
    EXPECT_EQ(is_stored_raw(t, 0), b.data == raw.data()) << "raw blocks are not copied";
    Bytes stored(b.data, b.data + b.stored_size);
    decode_block(t, 0, {stored.data(), stored.size()}, d, elements, back.data(), scratch, "a");
    EXPECT_TRUE(back.intact());
    EXPECT_TRUE(std::equal(raw.begin(), raw.end(), back.data()));
    EncodedBlock again = encode_block(raw.data(), elements, d, options, scratch, out.data());
    EXPECT_TRUE(again.stored_size == b.stored_size && again.stored_checksum == b.stored_checksum);
    return b.stored_size;
  }

  static inline Scratch scratch;
};

TEST_P(BlockTest, RoundTrip) {
  const DTypeInfo& d = GetParam();
  for (Pattern pattern : kPatterns)
    for (uint64_t elements : {uint64_t{1}, uint64_t{2}, uint64_t{7}, uint64_t{63}, uint64_t{64}, uint64_t{65},
                              uint64_t{1000}, kBlockBytes / d.element_bytes}) {
      SCOPED_TRACE(testing::Message() << elements << " elements, pattern " << static_cast<int>(pattern));
      uint64_t size = round_trip(sample(d, pattern, elements), {});
      if (pattern == Pattern::kZeros || pattern == Pattern::kConstant) {
        EXPECT_EQ(size, d.element_bytes);
      }
    }
}

TEST_P(BlockTest, RoundTripWithOtherOptions) {
  for (const EncoderOptions& options : {EncoderOptions{1, true}, {19, true}, {3, false}})
    for (Pattern pattern : {Pattern::kGaussian, Pattern::kMixed, Pattern::kCounter})
      round_trip(sample(GetParam(), pattern, 5001), options);
}

TEST_P(BlockTest, LargestBlock) {
  round_trip(sample(GetParam(), Pattern::kMixed, kMaxBlockBytes / GetParam().element_bytes), {3, true, kMaxBlockBytes});
}

// Whatever the encoder's policy, a decoder follows every table.
TEST_P(BlockTest, DecodesEveryTransformAndCoder) {
  const DTypeInfo& d = GetParam();
  for (uint64_t elements : {1, 65, 3000})
    for (Transform transform : {Transform::kIdentity, Transform::kBytePlanes, Transform::kFloatFields})
      for (Coder coder : {Coder::kRaw, Coder::kConstant, Coder::kZstd, Coder::kRans}) {
        EncodedBlock b;
        b.transform = transform;
        b.planes = planes_of(transform, d);
        if (b.planes.count == 0) continue;
        Bytes raw = sample(d, coder == Coder::kConstant ? Pattern::kConstant : Pattern::kGaussian, elements),
              back(raw.size());
        uint64_t symbols = symbols_of(transform, d, elements);
        std::vector<Bytes> planes;
        std::vector<uint8_t*> to;
        for (uint32_t k = 0; k < b.planes.count; k++)
          planes.emplace_back(symbols * symbol_bytes(b.planes.symbol_bits[k]));
        for (Bytes& p : planes) to.push_back(p.data());
        transform == Transform::kIdentity ? static_cast<void>(planes[0] = raw)
                                          : split(transform, d, raw.data(), symbols, to.data());
        Bytes stored;
        for (uint32_t k = 0; k < b.planes.count; k++) {
          Plane plane{planes[k].data(), symbols, b.planes.symbol_bits[k]};
          Bytes stream(2 * plane.bytes() + 400);
          bool fits = coder == Coder::kConstant ? is_constant(plane) : coder != Coder::kRans || plane.bits <= 8;
          Coder c = fits ? coder : Coder::kRaw;
          stream.resize(c == Coder::kRaw        ? encode_raw(plane, stream.data())
                        : c == Coder::kConstant ? encode_constant(plane, stream.data())
                        : c == Coder::kRans ? encode_rans(plane, count_bytes(plane), 32, stream.data(), stream.size(),
                                                          scratch.coder.rans)
                                            : encode_zstd(plane, 1, stream.data(), stream.size(), scratch.coder.zstd));
          b.streams[k] = {c, stream.size()};
          stored.insert(stored.end(), stream.begin(), stream.end());
        }
        b.stored_size = stored.size();
        b.stored_checksum = xxh3_64(stored.data(), stored.size()), b.raw_checksum = xxh3_64(raw.data(), raw.size());
        decode_block(table_of(b, elements), 0, {stored.data(), stored.size()}, d, elements, back.data(), scratch, "a");
        EXPECT_TRUE(back == raw) << static_cast<int>(transform) << " " << static_cast<int>(coder);
      }
}

TEST_P(BlockTest, DamageIsCorrupt) {
  const DTypeInfo& d = GetParam();
  for (Pattern pattern : {Pattern::kGaussian, Pattern::kRandom, Pattern::kConstant}) {
    Bytes raw = sample(d, pattern, 600), out(encoded_capacity(raw.size())), back(raw.size());
    EncodedBlock b = encode_block(raw.data(), 600, d, {}, scratch, out.data());
    Bytes stored(b.data, b.data + b.stored_size);
    Table t = table_of(b, 600);
    auto decode = [&] { decode_block(t, 0, {stored.data(), stored.size()}, d, 600, back.data(), scratch, "a"); };
    for (size_t at = 0; at < stored.size(); at += 1 + stored.size() / 100) {
      stored[at] ^= 1;
      EXPECT_ERROR(kCorrupt, "a: block 0 (offset 0): stored_checksum", decode());
      t.blocks[0].stored_checksum = xxh3_64(stored.data(), stored.size());  // and with a checksum that agrees
      if (!fails(ErrorKind::kCorrupt, "a: block 0 (offset 0)", decode)) {
        EXPECT_TRUE(back == raw) << "a byte that means nothing";
      }
      stored[at] ^= 1;
      t.blocks[0].stored_checksum = b.stored_checksum;
    }
    t.blocks[0].raw_checksum ^= 1;
    EXPECT_ERROR(kCorrupt, "raw_checksum does not match", decode());
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, BlockTest, testing::ValuesIn(kDTypes),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(Encoder, RawBlocksAreDecodedInPlace) {
  Scratch scratch;
  Bytes raw = random_bytes(1000, 1), out(encoded_capacity(1000)), copy = raw;
  EncodedBlock b = encode_block(raw.data(), 1000, info(DType::kUInt8), {}, scratch, out.data());
  Table t = table_of(b, 1000);
  ASSERT_TRUE(is_stored_raw(t, 0));
  decode_block(t, 0, {copy.data(), 1000}, info(DType::kUInt8), 1000, copy.data(), scratch, "a");
  EXPECT_TRUE(copy == raw);
}

TEST(Encoder, SmallerWhereThereIsSomethingToGain) {
  Scratch scratch;
  struct Row {
    DType dtype;
    Pattern pattern;
    double most;  // stored ÷ raw
  };
  for (const Row& row : {Row{DType::kBFloat16, Pattern::kGaussian, 0.7}, Row{DType::kFloat32, Pattern::kGaussian, 0.85},
                         Row{DType::kFloat16, Pattern::kGaussian, 0.95}, Row{DType::kInt64, Pattern::kCounter, 0.2},
                         Row{DType::kInt32, Pattern::kCounter, 0.3}, Row{DType::kUInt8, Pattern::kCounter, 0.05}}) {
    const DTypeInfo& d = info(row.dtype);
    Bytes raw = sample(d, row.pattern, kBlockBytes / d.element_bytes), out(encoded_capacity(raw.size()));
    EncodedBlock b = encode_block(raw.data(), raw.size() / d.element_bytes, d, {}, scratch, out.data());
    EXPECT_LT(static_cast<double>(b.stored_size), row.most * static_cast<double>(raw.size())) << d.name;
  }
}

TEST(Encoder, OptionsHaveLimits) {
  for (const EncoderOptions& good : {EncoderOptions{1, true, 4096}, {22, false, kMaxBlockBytes}, {}})
    EXPECT_NO_THROW(good.check());
  for (const EncoderOptions& bad : {EncoderOptions{0}, {23}, {-1}})
    EXPECT_ERROR(kInvalidArgument, "zstd_level", bad.check());
  for (uint64_t bytes : {uint64_t{0}, uint64_t{4095}, kMaxBlockBytes + 1})
    EXPECT_ERROR(kInvalidArgument, "block_bytes", (EncoderOptions{3, true, bytes}.check()));
}

// What only the reader of an entry can check, with all checksums right.
TEST(ReadTable, ChecksStreamsAndContentId) {
  Entry e;
  e.dtype = DType::kBFloat16, e.dims = {8}, e.dim_order = {0};
  e.frame_offset = 64, e.table_offset = 128;
  auto read = [&](const Table& t) {
    Bytes bytes = write_table(t);
    return read_table({bytes.data(), bytes.size()}, e, "a");
  };
  EncodedBlock b;
  b.transform = Transform::kFloatFields, b.planes = planes_of(b.transform, info(e.dtype));
  b.streams[0] = {Coder::kConstant, 1}, b.streams[1] = {Coder::kRaw, 8}, b.stored_size = 9;
  Table t = table_of(b, 8);
  EXPECT_ERROR(kCorrupt, "content_id does not match the table", read(t));
  e.content_id = tensor_content_id(e, 8, {b.raw_checksum});
  EXPECT_NO_THROW(read(t));
  t.streams[0].size = 9, t.blocks[0].stored_size = 17;
  EXPECT_ERROR(kCorrupt, "stream_size 9 is more than the plane needs raw", read(t));
  (t = table_of(b, 8)).recipes[0].planes.symbol_bits[1] = 7;
  EXPECT_ERROR(kCorrupt, "symbol_bits", read(t));
  (t = table_of(b, 8)).recipes[0].transform = Transform::kIdentity;
  EXPECT_ERROR(kCorrupt, "plane_count", read(t));
  e.dtype = DType::kInt16;  // same width, but no float fields
  EXPECT_ERROR(kCorrupt, "plane_count", read(table_of(b, 8)));
}

}  // namespace
}  // namespace mithril
