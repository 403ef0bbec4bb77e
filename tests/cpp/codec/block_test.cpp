// Blocks of every dtype there and back, blocks put together by hand, and damage. What the encoder chooses: encode_test.
#include <functional>

#include "tests/cpp/codec/blocks.h"
#include "tests/cpp/coder/rans_planes.h"
#include "tests/cpp/coder/rans_text.h"

namespace mithril {
namespace {

constexpr uint64_t kBlockBytes = EncoderOptions{}.block_bytes;
constexpr int kLevels[] = {1, 3, 19};  // one for each effort

Bytes raw_stream(const Plane& plane) {
  Bytes stream(raw_stream_size(plane.count, plane.bits));
  encode_raw(plane, stream.data());
  return stream;
}

// The planes of a transform, as docs/format.md 6.2 to 6.4 order them, coded one by one.
struct ByHand {
  EncodedBlock block;
  Bytes stored;

  // encode(k, plane, planes) gives the stream of plane k and sets its coder.
  using Encode = std::function<Bytes(uint32_t, const Plane&, const std::vector<Bytes>&, Coder&)>;
  ByHand(const Bytes& raw, const DTypeInfo& d, const Recipe& recipe, const Encode& encode, bool longer = false) {
    block.recipe = recipe;
    PlaneList& list = block.recipe.planes = planes_of(recipe.transform, d, recipe.parameter);
    std::vector<Bytes> planes = split_all(raw, d);
    for (uint32_t k = 0; k < list.count; k++) {
      Plane plane{planes[k].data(), planes[k].size() / symbol_bytes(list.symbol_bits[k]), list.symbol_bits[k]};
      StreamRecord& stream = block.streams[k];
      Bytes bytes = encode(k, plane, planes, stream.coder);
      if (bytes.size() > raw_stream_size(plane.count, plane.bits) && !longer)
        stream.coder = Coder::kRaw, bytes = raw_stream(plane);  // no stream may be longer
      stream.size = bytes.size();
      stored.insert(stored.end(), bytes.begin(), bytes.end());
    }
    block.stored_size = stored.size();
    block.stored_checksum = xxh3_64(stored.data(), stored.size()), block.raw_checksum = xxh3_64(raw.data(), raw.size());
  }

  std::vector<Bytes> split_all(const Bytes& raw, const DTypeInfo& d) const {
    const Recipe& r = block.recipe;
    uint64_t n = symbols_of(r.transform, d, raw.size() / d.element_bytes);
    if (r.transform == Transform::kIdentity) return {raw};
    std::vector<Bytes> planes(r.planes.count);
    Bytes components = raw;
    uint32_t first = r.transform == Transform::kNonzeroKeys;
    if (first) {
      planes[0].resize(n), components.resize(raw.size() + 16);
      n = pick_nonzero(raw.data(), n, d.component_bytes, planes[0].data(), components.data());
    }
    std::vector<uint8_t*> to;
    for (uint32_t k = first; k < r.planes.count; k++) planes[k].resize(n), to.push_back(planes[k].data());
    if (r.transform == Transform::kBytePlanes || r.transform == Transform::kFloatFields) {
      split(r.transform, d, components.data(), n, to.data());
    } else {
      KeyForm form = KeyForm::of(r.parameter);
      split_keys(d, form, components.data(), n, to.data());
      if (key_bits(d, form.joined) > 8) split_key_high(d, form, components.data(), n, to[to.size() - 2]);
    }
    return planes;
  }
};

// A plane of at most 8 bits in context_rans: by the context when there is one, else in two segments, one verbatim.
Bytes context_rans_stream(const Plane& plane, const Bytes* context, uint32_t lanes, CoderScratch& scratch) {
  Bytes symbols(plane.symbols, plane.symbols + plane.count), stream(4 * plane.count + 9000);
  if (context)
    scratch.rans[0].model = classes_of(symbols, *context, 3, 20, lanes, [](uint32_t c) { return c % 3; }, plane.bits);
  else if (plane.count > kRansUnit)
    scratch.rans[0].model = segments_of(symbols, {1}, {0, 2}, lanes);
  else
    scratch.rans[0].model = segments_of(symbols, {}, {3}, lanes);
  stream.resize(encode_context_rans(plane, context ? context->data() : nullptr, stream.data(), stream.size(),
                                    scratch.rans[0], rans_kernels(isa())));
  return stream;
}

class BlockTest : public testing::TestWithParam<DTypeInfo> {
 protected:
  void expect_decodes(const ByHand& b, const Bytes& raw) {
    const DTypeInfo& d = GetParam();
    uint64_t elements = raw.size() / d.element_bytes;
    Guarded back(raw.size());
    Bytes exact(b.stored.data(), b.stored.data() + b.stored.size());
    exact.shrink_to_fit();
    ASSERT_NO_THROW(decode_block(table_of(b.block, elements), 0, {exact.data(), exact.size()}, d, elements, back.data(),
                                 scratch, "a"));
    EXPECT_TRUE(back.intact());
    EXPECT_TRUE(std::equal(raw.begin(), raw.end(), back.data()));
  }
  // Every parameter worth telling apart.
  std::vector<uint16_t> parameters(Transform transform) const {
    if (transform != Transform::kFloatKeys && transform != Transform::kNonzeroKeys) return {0};
    std::vector<uint16_t> valid;
    for (uint32_t j = 0; j <= 2; j++)
      for (bool no_signs : {false, true})
        for (uint32_t base : {0, 64, 200, 256})
          if (uint16_t p = KeyForm{j, no_signs, base}.parameter(); planes_of(transform, GetParam(), p).count)
            valid.push_back(p);
    return valid;
  }
  // Without signs where the parameter says so.
  Bytes sample_for(uint16_t parameter, Pattern pattern, uint64_t elements) const {
    const DTypeInfo& d = GetParam();
    Bytes raw = sample(d, pattern, elements);
    for (uint64_t i = d.component_bytes - 1; KeyForm::of(parameter).no_signs && i < raw.size(); i += d.component_bytes)
      raw[i] &= 0x7f;
    return raw;
  }

  static inline Scratch scratch;
};

constexpr Transform kAllTransforms[] = {Transform::kIdentity, Transform::kBytePlanes, Transform::kFloatFields,
                                        Transform::kFloatKeys, Transform::kNonzeroKeys};

TEST_P(BlockTest, RoundTrip) {
  const DTypeInfo& d = GetParam();
  for (int level : kLevels)
    for (Pattern pattern : kPatterns)
      for (uint64_t elements : {1, 2, 7, 63, 64, 65, 511, 512, 513, 1000, 1500, 4096, 5001}) {
        SCOPED_TRACE(testing::Message() << elements << " elements, pattern " << static_cast<int>(pattern) << ", level "
                                        << level);
        uint64_t size = encode_and_back(sample(d, pattern, elements), d, {level, true}, scratch).stored_size;
        if (pattern == Pattern::kZeros || pattern == Pattern::kConstant) {
          EXPECT_EQ(size, d.element_bytes);
        }
      }
}

TEST_P(BlockTest, RoundTripOfUsualBlocks) {
  const DTypeInfo& d = GetParam();
  for (int level : {1, 3, 16})
    for (Pattern pattern : kPatterns) {
      SCOPED_TRACE(testing::Message() << "pattern " << static_cast<int>(pattern) << ", level " << level);
      uint64_t bytes = level == 16 ? 100'000 : kBlockBytes;
      encode_and_back(sample(d, pattern, bytes / d.element_bytes), d, {level, true}, scratch);
    }
}

TEST_P(BlockTest, RoundTripUnsplit) {
  for (Pattern pattern : kPatterns) encode_and_back(sample(GetParam(), pattern, 5001), GetParam(), {3, false}, scratch);
}

TEST_P(BlockTest, LargestBlock) {
  for (Pattern pattern : {Pattern::kMixed, Pattern::kGaussian, Pattern::kHalfZero, Pattern::kRandom})
    encode_and_back(sample(GetParam(), pattern, kMaxBlockBytes / GetParam().element_bytes), GetParam(),
                    {3, true, kMaxBlockBytes}, scratch);
}

// Whatever the encoder's policy, a decoder follows every table.
TEST_P(BlockTest, DecodesEveryTransformAndCoder) {
  const DTypeInfo& d = GetParam();
  for (uint64_t elements : {1, 65, 3000, 9000})
    for (Transform transform : kAllTransforms)
      for (uint16_t parameter : parameters(transform))
        for (Coder coder :
             {Coder::kRaw, Coder::kConstant, Coder::kZstd, Coder::kRans, Coder::kContextRans, Coder::kPalette}) {
          Recipe recipe;
          recipe.transform = transform, recipe.parameter = parameter;
          if (planes_of(transform, d, parameter).count == 0) continue;
          SCOPED_TRACE(testing::Message() << elements << " elements, transform " << static_cast<int>(transform)
                                          << ", parameter " << parameter << ", coder " << static_cast<int>(coder));
          Pattern pattern = coder == Coder::kConstant              ? Pattern::kConstant
                            : coder == Coder::kPalette             ? Pattern::kFewValues
                            : transform == Transform::kNonzeroKeys ? Pattern::kHalfZero
                                                                   : Pattern::kGaussian;
          Bytes raw = sample_for(parameter, pattern, elements);
          ByHand block(raw, d, recipe, [&](uint32_t, const Plane& plane, const std::vector<Bytes>&, Coder& used) {
            bool narrow = plane.bits <= 8;
            bool fits = coder == Coder::kConstant  ? is_constant(plane)
                        : coder == Coder::kPalette ? !narrow && d.element_bytes == d.component_bytes
                        : coder == Coder::kRans    ? narrow && elements < 9000
                                                   : narrow || coder != Coder::kContextRans;
            used = fits ? coder : Coder::kRaw;
            Bytes stream(2 * plane.bytes() + 400), symbols(plane.symbols, plane.symbols + plane.bytes());
            switch (used) {
              case Coder::kConstant: stream.resize(encode_constant(plane, stream.data())); break;
              case Coder::kZstd:
                stream.resize(encode_zstd(plane, 1, stream.data(), stream.size(), scratch.coder.zstd));
                break;
              case Coder::kRans: {
                RansTable t = table_of(symbols, 32, plane.bits);
                return encode_rans_by_the_text(symbols, 64, Bytes(t.value, t.value + t.size - 1),
                                               Bytes(t.frequency, t.frequency + t.size));
              }
              case Coder::kContextRans:
                return context_rans_stream(plane, nullptr, plane.bits % 2 ? 64 : 128, scratch.coder);
              case Coder::kPalette:
                stream.resize(encode_palette(plane, stream.data(), stream.size(), scratch.coder));
                break;
              default: return raw_stream(plane);
            }
            return stream;
          });
          expect_decodes(block, raw);
          if (HasFatalFailure()) return;
        }
}

// Each plane with each later one as context, and with what its lane coded before; others raw, or all alike.
TEST_P(BlockTest, DecodesEveryContext) {
  const DTypeInfo& d = GetParam();
  for (uint64_t elements : {65, 3000, 9001})
    for (Transform transform :
         {Transform::kBytePlanes, Transform::kFloatFields, Transform::kFloatKeys, Transform::kNonzeroKeys})
      for (uint16_t parameter : parameters(transform))
        for (Pattern pattern : {Pattern::kHalfZero, Pattern::kGaussian, Pattern::kRandom}) {
          PlaneList list = planes_of(transform, d, parameter);
          uint32_t first = transform == Transform::kNonzeroKeys;
          Bytes raw = sample_for(parameter, pattern, elements);
          for (uint32_t k = first; k < list.count; k++)
            for (uint32_t of = k; of < list.count; of++) {
              Recipe recipe;
              recipe.transform = transform, recipe.parameter = parameter;
              const bool lane = of == k;
              recipe.contexts[k] = {lane ? ContextKind::kLane : ContextKind::kPlane,
                                    static_cast<uint16_t>(lane ? 0 : of)};
              SCOPED_TRACE(testing::Message()
                           << d.name << ", " << elements << " elements, transform " << static_cast<int>(transform)
                           << ", parameter " << parameter << ", pattern " << static_cast<int>(pattern) << ", plane "
                           << k << " by " << of);
              uint32_t lanes = elements % 2 ? 64 : 128;
              ByHand block(raw, d, recipe,
                           [&](uint32_t p, const Plane& plane, const std::vector<Bytes>& planes, Coder& coder) {
                             coder = Coder::kContextRans;
                             Bytes before = lane_context(planes[p], lanes);
                             if (p == k)
                               return context_rans_stream(plane, lane ? &before : &planes[of], lanes, scratch.coder);
                             coder = is_constant(plane) ? Coder::kConstant : Coder::kRaw;
                             return coder == Coder::kRaw ? raw_stream(plane) : Bytes(1, plane.symbols[0]);
                           });
              expect_decodes(block, raw);
              if (HasFailure()) return;
            }
        }
}

// A frame's table knows only the components of a block, so how many are not zero, and what their planes need, is known
// when the mask is decoded.
TEST_P(BlockTest, StreamsOfNonzeroKeysAreNoLongerThanRaw) {
  const DTypeInfo& d = GetParam();
  if (d.exponent_bits == 0) return;
  Bytes raw(300 * d.element_bytes), back(raw.size());
  raw[7] = 1;
  Recipe recipe;
  recipe.transform = Transform::kNonzeroKeys;
  ByHand block(
      raw, d, recipe,
      [&](uint32_t k, const Plane& plane, const std::vector<Bytes>&, Coder& coder) {
        Bytes stream(100);
        if (k < 2) return raw_stream(plane);
        coder = Coder::kZstd;
        stream.resize(encode_zstd(plane, 1, stream.data(), stream.size(), scratch.coder.zstd));
        return stream;
      },
      true);
  EXPECT_ERROR(kCorrupt, "a: block 0 (offset 0): stream_size",
               decode_block(table_of(block.block, 300), 0, {block.stored.data(), block.stored.size()}, d, 300,
                            back.data(), scratch, "a"));
}

TEST_P(BlockTest, MaskHasNoSymbolThree) {
  const DTypeInfo& d = GetParam();
  if (d.exponent_bits == 0) return;
  Bytes raw = sample(d, Pattern::kHalfZero, 300), back(raw.size());
  Recipe recipe;
  recipe.transform = Transform::kNonzeroKeys;
  for (uint8_t symbol : {0, 3}) {
    ByHand block(raw, d, recipe, [&](uint32_t k, const Plane& plane, const std::vector<Bytes>&, Coder&) {
      Bytes symbols(plane.symbols, plane.symbols + plane.count);
      if (k == 0 && symbol) *std::find(symbols.begin(), symbols.end(), 0) = symbol;
      return raw_stream({symbols.data(), plane.count, plane.bits});
    });
    auto decode = [&] {
      decode_block(table_of(block.block, 300), 0, {block.stored.data(), block.stored.size()}, d, 300, back.data(),
                   scratch, "a");
    };
    if (symbol)
      EXPECT_ERROR(kCorrupt, "a: block 0", decode());
    else
      EXPECT_NO_THROW(decode());
  }
}

// The tables of the first rans may name any byte.
TEST_P(BlockTest, KeysHaveNoMoreBitsThanTheirPlane) {
  const DTypeInfo& d = GetParam();
  if (d.exponent_bits == 0) return;
  Recipe recipe;
  recipe.transform = Transform::kFloatKeys, recipe.parameter = 2;
  PlaneList list = planes_of(recipe.transform, d, recipe.parameter);
  if (list.count == 0 || list.symbol_bits[list.count - 1] == 8) return;
  Bytes raw = sample(d, Pattern::kGaussian, 3000), back(raw.size());
  for (bool too_large : {false, true}) {
    ByHand block(raw, d, recipe, [&](uint32_t k, const Plane& plane, const std::vector<Bytes>&, Coder& coder) {
      if (k + 1 < list.count) return raw_stream(plane);
      coder = Coder::kRans;
      Bytes symbols(plane.symbols, plane.symbols + plane.count);
      if (too_large) symbols[5] = 0x80;
      RansTable t = table_of(symbols, 32, 8);
      return encode_rans_by_the_text(symbols, 64, Bytes(t.value, t.value + t.size - 1),
                                     Bytes(t.frequency, t.frequency + t.size));
    });
    auto decode = [&] {
      decode_block(table_of(block.block, 3000), 0, {block.stored.data(), block.stored.size()}, d, 3000, back.data(),
                   scratch, "a");
    };
    if (too_large)
      EXPECT_ERROR(kCorrupt, "a: block 0 (offset 0): a symbol has more than", decode());
    else
      EXPECT_NO_THROW(decode());
  }
}

TEST_P(BlockTest, DamageIsCorrupt) {
  const DTypeInfo& d = GetParam();
  for (Pattern pattern : {Pattern::kGaussian, Pattern::kRandom, Pattern::kConstant, Pattern::kHalfZero,
                          Pattern::kFewValues, Pattern::kRepeated}) {
    Bytes raw = sample(d, pattern, 1200), out(encoded_capacity(raw.size())), back(raw.size());
    EncodedBlock b = encode_block(raw.data(), 1200, d, {}, scratch, out.data());
    Bytes stored(b.data, b.data + b.stored_size);
    Table t = table_of(b, 1200);
    auto decode = [&] { decode_block(t, 0, {stored.data(), stored.size()}, d, 1200, back.data(), scratch, "a"); };
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

TEST(Decoder, RawBlocksAreDecodedInPlace) {
  Scratch scratch;
  Bytes raw = random_bytes(1000, 1), out(encoded_capacity(1000)), copy = raw;
  EncodedBlock b = encode_block(raw.data(), 1000, info(DType::kUInt8), {}, scratch, out.data());
  Table t = table_of(b, 1000);
  ASSERT_TRUE(is_stored_raw(t, 0));
  decode_block(t, 0, {copy.data(), 1000}, info(DType::kUInt8), 1000, copy.data(), scratch, "a");
  EXPECT_TRUE(copy == raw);
}

// Large results go past the caches by way of a buffer, wherever they go.
TEST(Decoder, AnyAddress) {
  Scratch scratch;
  const DTypeInfo& d = info(DType::kBFloat16);
  for (uint64_t elements : {100'000, 131'072, 200'001}) {
    Bytes raw = sample(d, Pattern::kGaussian, elements), out(encoded_capacity(raw.size()));
    EncodedBlock b = encode_block(raw.data(), elements, d, {}, scratch, out.data());
    for (uint64_t shift : {0, 1, 2, 15, 16, 31, 63}) {
      Guarded back(raw.size(), shift);
      decode_block(table_of(b, elements), 0, {b.data, b.stored_size}, d, elements, back.data(), scratch, "a");
      EXPECT_TRUE(back.intact());
      EXPECT_TRUE(std::equal(raw.begin(), raw.end(), back.data())) << "shift " << shift;
    }
  }
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
  b.recipe.transform = Transform::kFloatFields;
  b.recipe.planes = planes_of(Transform::kFloatFields, info(e.dtype));
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
