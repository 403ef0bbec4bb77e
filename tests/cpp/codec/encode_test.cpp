// The encoder's policy: which transform and coders a block gets, and how many elements.
#include <string>

#include "tests/cpp/codec/blocks.h"

namespace mithril {
namespace {

// "float_keys: raw context_rans constant …", with "~" where a plane has the context of its lane.
std::string description(const EncodedBlock& b) {
  constexpr const char* kTransforms[] = {"identity", "byte_planes", "float_fields", "float_keys", "nonzero_keys"};
  constexpr const char* kCoders[] = {"raw", "constant", "zstd", "rans", "context_rans", "palette"};
  std::string text = kTransforms[static_cast<int>(b.recipe.transform)] + std::string(":");
  for (uint32_t k = 0; k < b.recipe.planes.count; k++)
    text += std::string(" ") + kCoders[static_cast<int>(b.streams[k].coder)] +
            (b.recipe.contexts[k].kind == ContextKind::kLane ? "~" : "");
  return text;
}

class EncodeTest : public testing::Test {
 protected:
  // Encodes, decodes, compares; returns what was chosen.
  std::string chosen(const Bytes& raw, DType dtype, const EncoderOptions& options = {}) {
    EncodedBlock b = encode_and_back(raw, info(dtype), options, scratch);
    ratio = static_cast<double>(b.stored_size) / static_cast<double>(raw.size());
    return description(b);
  }
  static Bytes usual(DType dtype, Pattern pattern, uint64_t bytes = EncoderOptions{}.block_bytes) {
    return sample(info(dtype), pattern, bytes / info(dtype).element_bytes);
  }

  Scratch scratch;
  double ratio = 0;  // stored ÷ raw
};

TEST_F(EncodeTest, NormalFloats) {
  struct Row {
    DType dtype;
    const char* fast;
    const char* usual;
    double most;  // stored ÷ raw
  };
  // Exponents of two bits of entropy, all else random: one plane gains.
  const Row rows[] = {
      {DType::kBFloat16, "float_keys: raw context_rans", "float_keys: raw constant context_rans", 0.64},
      {DType::kFloat16, "float_keys: raw raw context_rans", "float_keys: raw raw context_rans", 0.84},
      {DType::kFloat32, "float_keys: raw raw raw context_rans", "float_keys: raw raw raw constant context_rans", 0.83},
      {DType::kFloat64, "float_keys: raw raw raw raw raw raw raw constant context_rans",
       "float_keys: raw raw raw raw raw raw raw constant context_rans", 0.87},
      {DType::kComplex64, "float_keys: raw raw raw context_rans", "float_keys: raw raw raw constant context_rans",
       0.83},
      {DType::kFloat8E5M2, "float_keys: raw context_rans", "float_keys: raw context_rans", 0.67}};
  for (const Row& row : rows) {
    SCOPED_TRACE(info(row.dtype).name);
    Bytes raw = usual(row.dtype, Pattern::kGaussian);
    EXPECT_EQ(chosen(raw, row.dtype, {1}), row.fast);
    EXPECT_LT(ratio, row.most);
    EXPECT_EQ(chosen(raw, row.dtype), row.usual);
    EXPECT_LT(ratio, row.most);
    EXPECT_EQ(chosen(raw, row.dtype, {19}), row.usual);
    EXPECT_LT(ratio, row.most);
  }
}

// What a wider type holds of a narrower one is zero where nothing was.
TEST_F(EncodeTest, NarrowFloatsInWideOnes) {
  Bytes bf16 = usual(DType::kFloat32, Pattern::kGaussian), fp16 = bf16;
  for (uint64_t i = 0; i < bf16.size(); i += 4) bf16[i] = bf16[i + 1] = fp16[i] = 0, fp16[i + 1] &= 0xe0;
  EXPECT_EQ(chosen(bf16, DType::kFloat32), "float_keys: raw constant constant constant context_rans");
  EXPECT_LT(ratio, 0.33);
  EXPECT_EQ(chosen(fp16, DType::kFloat32), "float_keys: raw context_rans constant constant context_rans");
  EXPECT_LT(ratio, 0.6);
}

TEST_F(EncodeTest, Masked) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32, DType::kFloat16, DType::kFloat8E5M2}) {
    SCOPED_TRACE(info(dtype).name);
    EXPECT_EQ(chosen(usual(dtype, Pattern::kHalfZero), dtype).substr(0, 26), "nonzero_keys: context_rans");
    double half = ratio;
    EXPECT_EQ(chosen(usual(dtype, Pattern::kSignedZeros), dtype).substr(0, 26), "nonzero_keys: context_rans");
    double quarter = ratio;
    EXPECT_EQ(chosen(usual(dtype, Pattern::kZeroRows), dtype).substr(0, 18), "nonzero_keys: zstd");
    chosen(usual(dtype, Pattern::kGaussian), dtype);
    EXPECT_LT(half, 0.5 * ratio + 0.14 / info(dtype).element_bytes);
    EXPECT_LT(quarter, 0.25 * ratio + 0.21 / info(dtype).element_bytes);
  }
}

TEST_F(EncodeTest, FewValues) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32, DType::kInt16, DType::kInt64}) {
    SCOPED_TRACE(info(dtype).name);
    EXPECT_EQ(chosen(usual(dtype, Pattern::kFewValues), dtype), "identity: palette");
    EXPECT_LT(ratio, 0.58 / info(dtype).component_bytes);
  }
}

TEST_F(EncodeTest, RepeatedRows) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32, DType::kFloat8E4M3Fn, DType::kFloat64}) {
    SCOPED_TRACE(info(dtype).name);
    EXPECT_EQ(chosen(usual(dtype, Pattern::kRepeated), dtype), "identity: zstd");
    EXPECT_LT(ratio, 0.05);
  }
}

TEST_F(EncodeTest, Constant) {
  for (const DTypeInfo& d : kDTypes)
    for (Pattern pattern : {Pattern::kZeros, Pattern::kConstant})
      EXPECT_EQ(chosen(usual(d.dtype, pattern, 20000), d.dtype), "identity: constant") << d.name;
}

TEST_F(EncodeTest, NoiseIsStoredRaw) {
  for (const DTypeInfo& d : kDTypes)
    for (int level : {1, 3, 19})
      for (uint64_t bytes : {4096, 100'000}) {
        // Not random floats, whose keys are not quite flat: those near zero are rare.
        EXPECT_EQ(chosen(random_bytes(bytes / d.element_bytes * d.element_bytes, 3), d.dtype, {level}), "identity: raw")
            << d.name;
      }
}

TEST_F(EncodeTest, Integers) {
  EXPECT_EQ(chosen(usual(DType::kInt32, Pattern::kCounter), DType::kInt32), "byte_planes: zstd zstd zstd constant");
  EXPECT_LT(ratio, 0.02);
  EXPECT_EQ(chosen(usual(DType::kUInt8, Pattern::kCounter), DType::kUInt8), "identity: zstd");
  Bytes small(200'000);  // of 4.5 bits of entropy, and no code of whole bits
  Random random(1);
  for (uint64_t i = 0; i < small.size(); i += 4) {
    while (small[i] < 240 && random.below(10) < 7) small[i] = static_cast<uint8_t>(small[i] + 3);
    small[i] = static_cast<uint8_t>(small[i] + random.below(3));
  }
  EXPECT_EQ(chosen(small, DType::kInt32), "byte_planes: context_rans constant constant constant");
  Bytes one_byte;
  for (uint64_t i = 0; i < small.size(); i += 4) one_byte.push_back(small[i]);
  EXPECT_EQ(chosen(one_byte, DType::kUInt8), "identity: context_rans");
}

TEST_F(EncodeTest, UnsplitIsIdentity) {
  for (const DTypeInfo& d : kDTypes)
    for (Pattern pattern : kPatterns)
      EXPECT_EQ(chosen(usual(d.dtype, pattern, 20000), d.dtype, {3, false}).substr(0, 9), "identity:") << d.name;
}

// Columns of different scales, at a multiple of the lanes: the best effort sees what the lane coded before.
TEST_F(EncodeTest, BestEffortUsesWhatTheLaneCodedBefore) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    const DTypeInfo& d = info(dtype);
    Bytes raw = usual(dtype, Pattern::kGaussian);
    for (uint64_t i = 0; i < raw.size() / d.element_bytes; i++) {  // the exponent is lowered by up to 12
      uint32_t x = 0;
      uint8_t* p = raw.data() + i * d.element_bytes;
      std::memcpy(&x, p, d.element_bytes);
      x -= static_cast<uint32_t>(i % 64 / 16 * 4) << d.mantissa_bits;
      std::memcpy(p, &x, d.element_bytes);
    }
    EXPECT_EQ(chosen(raw, dtype), dtype == DType::kFloat32 ? "float_keys: raw raw raw constant context_rans"
                                                           : "float_keys: raw constant context_rans");
    double usual_ratio = ratio;
    std::string best = chosen(raw, dtype, {19});
    EXPECT_NE(best.find("context_rans~"), std::string::npos) << best;
    EXPECT_LT(ratio, usual_ratio - 0.1 / d.element_bytes);
  }
}

TEST_F(EncodeTest, HarderEffortsAreNoLarger) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32, DType::kFloat16})
    for (Pattern pattern : kPatterns) {
      if (pattern == Pattern::kMixed) continue;  // nothing that an effort stands for
      Bytes raw = usual(dtype, pattern, 1 << 18);
      double sizes[3];
      for (int i = 0; i < 3; i++) chosen(raw, dtype, {i == 0 ? 1 : i == 1 ? 3 : 16}), sizes[i] = ratio;
      EXPECT_LE(sizes[1], sizes[0] * 1.005) << info(dtype).name << static_cast<int>(pattern);
      EXPECT_LE(sizes[2], sizes[1] * 1.005) << info(dtype).name << static_cast<int>(pattern);
    }
}

// Zeros that the mask costs more than it saves, beside keys that gain next to nothing.
TEST_F(EncodeTest, SparseBlocksThatDoNotGainStayInTheirRoom) {
  for (DType dtype : {DType::kFloat8E4M3Fn, DType::kFloat8E5M2, DType::kBFloat16, DType::kFloat16})
    for (uint64_t n = 512; n < 3000; n += 61)
      for (uint32_t keys = 8; keys <= 256; keys += keys < 64 ? 1 : 16) {
        const DTypeInfo& d = info(dtype);
        Random random(n + keys);
        Bytes raw(n * d.element_bytes);
        uint32_t bits = d.exponent_bits + 2, values = std::min(keys, (1u << bits) - 1);
        for (uint64_t i = 0; i < n; i++) {
          uint64_t key = 1 + random.below(values), x = random.next();
          uint64_t mask = ((uint64_t{1} << bits) - 1) << (d.mantissa_bits - 2);
          x = (x & ~mask) | key << (d.mantissa_bits - 2);
          if (i < 64 ? i % 4 == 0 : random.below(32) == 0 && keys % 2) x = 0;
          std::memcpy(&raw[i * d.element_bytes], &x, d.element_bytes);
        }
        Guarded out(encoded_capacity(raw.size()));
        encode_block(raw.data(), n, d, {}, scratch, out.data());
        ASSERT_TRUE(out.intact()) << d.name << ", " << n << " elements, " << keys << " keys";
      }
}

TEST(BlockElements, MoreWhereThereIsNothingToSay) {
  const EncoderOptions options;
  for (const DTypeInfo& d : kDTypes) {
    SCOPED_TRACE(d.name);
    uint64_t usual = options.block_bytes / d.element_bytes, most = kMaxBlockBytes / d.element_bytes;
    uint64_t n = (5 << 20) / d.element_bytes / 2;
    auto elements = [&](const Bytes& raw) {
      return block_elements(raw.data(), raw.size() / d.element_bytes, d, options);
    };
    for (Pattern pattern : kPatterns) {
      Bytes raw = sample(d, pattern, n);
      uint64_t chosen = elements(raw);
      EXPECT_TRUE(chosen == usual || chosen == most);
      if (pattern == Pattern::kZeros || pattern == Pattern::kConstant) {
        EXPECT_EQ(chosen, most);
      } else if ((pattern == Pattern::kGaussian && d.exponent_bits) || pattern == Pattern::kHalfZero) {
        EXPECT_EQ(chosen, usual);
      }
    }
    EXPECT_EQ(elements(random_bytes(n * d.element_bytes, 7)), most);
    // What needs no more than a block has a usual one, however little it says.
    EXPECT_EQ(elements(Bytes(usual * d.element_bytes)), usual);
    EXPECT_EQ(elements({}), usual);
  }
}

TEST(BlockElements, FollowTheOptions) {
  Bytes raw = sample(info(DType::kFloat32), Pattern::kGaussian, 1 << 18);
  for (uint64_t bytes : {uint64_t{4096}, uint64_t{5001}, uint64_t{1} << 18, kMaxBlockBytes})
    EXPECT_EQ(block_elements(raw.data(), 1 << 18, info(DType::kFloat32), {3, true, bytes}), bytes / 4);
}

TEST(EncoderOptions, HaveLimits) {
  for (const EncoderOptions& good : {EncoderOptions{1, true, 4096}, {22, false, kMaxBlockBytes}, {}})
    EXPECT_NO_THROW(good.check());
  for (const EncoderOptions& bad : {EncoderOptions{0}, {23}, {-1}})
    EXPECT_ERROR(kInvalidArgument, "zstd_level", bad.check());
  for (uint64_t bytes : {uint64_t{0}, uint64_t{4095}, kMaxBlockBytes + 1})
    EXPECT_ERROR(kInvalidArgument, "block_bytes", (EncoderOptions{3, true, bytes}.check()));
  EXPECT_TRUE(EncoderOptions{1}.effort() == Effort::kFast && EncoderOptions{2}.effort() == Effort::kDefault);
  EXPECT_TRUE(EncoderOptions{15}.effort() == Effort::kDefault && EncoderOptions{16}.effort() == Effort::kBest);
}

}  // namespace
}  // namespace mithril
