// context_rans streams of every kernel against a decoder written from the format text, and streams damaged field by
// field.
#include <functional>

#include "csrc/codec/codec.h"
#include "csrc/coder/rans.h"
#include "tests/cpp/coder/rans_planes.h"
#include "tests/cpp/coder/rans_text.h"
#include "tests/cpp/support/expect_error.h"

namespace mithril {
namespace {

constexpr Isa kIsas[] = {Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512};

class ContextRansTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam())) GTEST_SKIP() << "this CPU lacks " << isa_name(GetParam());
  }

  // The plane with the model; the context is empty for a model of segments. 0 bytes when it does not fit.
  Bytes encode(const RansModel& model, const Bytes& plane, const Bytes& context, const RansKernels& kernels,
               uint64_t capacity) {
    Guarded symbols(plane.size(), 5), contexts(context.size(), 3), out(capacity);
    std::copy(plane.begin(), plane.end(), symbols.data());
    std::copy(context.begin(), context.end(), contexts.data());
    scratch.model = model;
    uint64_t n = encode_context_rans({symbols.data(), plane.size(), 8}, context.empty() ? nullptr : contexts.data(),
                                     out.data(), out.size(), scratch, kernels);
    EXPECT_TRUE(out.intact());
    return Bytes(out.data(), out.data() + n);
  }
  Bytes encode(const RansModel& model, const Bytes& plane, const Bytes& context = {}) {
    return encode(model, plane, context, rans_kernels(GetParam()), 3 * plane.size() + 40000);
  }
  // In pieces, from the last to the first.
  Bytes encode_pieces(const RansModel& model, const Bytes& plane, const Bytes& context, uint64_t piece) {
    scratch.model = model;
    RansEncoding encoding(plane.size(), scratch, rans_kernels(GetParam()));
    uint64_t n = plane.size(), begin = n ? (n - 1) / piece * piece : 0;
    for (uint64_t size = n - begin;; begin -= piece, size = piece) {
      Guarded symbols(size, 7), contexts(context.empty() ? 0 : size, 9);
      std::copy_n(plane.data() + begin, size, symbols.data());
      std::copy_n(context.data() + (context.empty() ? 0 : begin), contexts.size(), contexts.data());
      encoding.put(symbols.data(), context.empty() ? nullptr : contexts.data(), begin, size);
      if (begin == 0) break;
    }
    Guarded out(encoding.size());
    encoding.write(out.data());
    EXPECT_TRUE(out.intact());
    return Bytes(out.data(), out.data() + out.size());
  }

  // With pieces of `piece` symbols, 0: all at once. The stream stands at the end of its memory, so that the sanitizer
  // sees what is read beyond it.
  Bytes decode(const Bytes& stream, uint64_t n, uint32_t bits, Contexts contexts, const RansKernels& kernels,
               uint64_t piece = 0) {
    Bytes exact(stream.data(), stream.data() + stream.size());
    exact.shrink_to_fit();
    uint64_t before = contexts.lane ? kRansMaxLanes : 0, step = piece ? piece : std::max<uint64_t>(n, 1);
    Guarded out(before + n);
    std::memset(out.data(), 0, before);
    uint8_t* to = out.data() + before;
    try {
      RansDecoding decoding(Coder::kContextRans, {exact.data(), exact.size()}, {nullptr, n, bits},
                            contexts.lane || contexts.given, scratch, kernels);
      for (uint64_t at = 0; at < n; at += step) {
        const uint8_t* context = contexts.lane    ? to + at - decoding.lanes()
                                 : contexts.given ? contexts.given->data() + at
                                                  : nullptr;
        decoding.next(to + at, context, std::min(step, n - at));
      }
      decoding.finish();
    } catch (const Error&) {
      EXPECT_TRUE(out.intact());
      throw;
    }
    EXPECT_TRUE(out.intact());
    return Bytes(to, to + n);
  }
  Bytes decode(const Bytes& stream, uint64_t n, uint32_t bits = 8, Contexts contexts = {}) {
    return decode(stream, n, bits, contexts, rans_kernels(GetParam()));
  }
  // Whether it decodes; if not, the error is corrupt.
  bool decodes(const Bytes& stream, uint64_t n, uint32_t bits = 8, Contexts contexts = {}) {
    try {
      decode(stream, n, bits, contexts);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kCorrupt) << e.what();
      return false;
    }
    return true;
  }

  // Every way to encode gives the same bytes, and every way to decode the plane.
  void round_trip(const RansModel& model, const Bytes& plane, uint32_t bits = 8, const Bytes& context = {},
                  bool lane = false) {
    const RansKernels &mine = rans_kernels(GetParam()), &scalar = rans_kernels(Isa::kScalar);
    uint64_t n = plane.size();
    Contexts contexts{context.empty() || lane ? nullptr : &context, lane};
    Bytes stream = encode(model, plane, context);
    ASSERT_FALSE(stream.empty());
    ASSERT_EQ(stream[0], model.lanes);
    ASSERT_EQ(stream[2], model.tables.size());
    ASSERT_TRUE(stream == encode(model, plane, context, scalar, stream.size())) << "the scalar kernel differs";
    ASSERT_TRUE(decode_by_the_text(Coder::kContextRans, stream, n, contexts) == plane);
    ASSERT_TRUE(decode(stream, n, bits, contexts, mine) == plane);
    ASSERT_TRUE(decode(stream, n, bits, contexts, scalar) == plane);
    for (uint64_t piece : {kRansUnit, kPiece}) {
      if (n <= piece) continue;
      ASSERT_TRUE(encode_pieces(model, plane, context, piece) == stream) << "pieces of " << piece;
      ASSERT_TRUE(decode(stream, n, bits, contexts, mine, piece) == plane) << "pieces of " << piece;
    }
  }
  void round_trip(Content content, uint64_t n, uint32_t bits = 8, const RansOptions& options = {}) {
    SCOPED_TRACE(testing::Message() << n << " symbols of " << bits << " bits, content " << static_cast<int>(content));
    Bytes plane = rans_symbols(content, n, bits);
    RansModel model;
    choose_segments({plane.data(), n}, n, options, model);
    for (const RansTable& t : model.tables) ASSERT_LE(t.size, options.max_table);
    round_trip(model, plane, bits);
  }

  RansScratch scratch;
};

TEST_P(ContextRansTest, EverySmallCount) {
  for (Content content : kContents)
    for (uint64_t n = 0; n <= 300 && !HasFatalFailure(); n++) {
      round_trip(content, n);
      SCOPED_TRACE(n);
      Bytes plane = rans_symbols(content, n);
      round_trip(segments_of(plane, {}, {5}, 128), plane);
      if (n) round_trip(segments_of(plane, {}, {0}, 64), plane);  // verbatim
    }
}

TEST_P(ContextRansTest, EveryWidth) {
  for (Content content : kContents)
    for (uint32_t bits = 1; bits <= 8 && !HasFatalFailure(); bits++) round_trip(content, 20011, bits);
}

TEST_P(ContextRansTest, LargePlanes) {
  for (Content content : kContents)
    for (uint64_t n : {65536, (1 << 17) - 1, 1 << 17, (1 << 17) + 77, 1 << 20}) {
      round_trip(content, n);
      if (HasFatalFailure()) return;
    }
}

TEST_P(ContextRansTest, EveryTableSize) {
  for (uint32_t size = 2; size <= kRansMaxTable && !HasFatalFailure(); size++) {
    SCOPED_TRACE(testing::Message() << "table of " << size);
    RansOptions options;
    options.max_table = size;
    for (Content content : {Content::kGeometric, Content::kForty, Content::kBytes}) {
      round_trip(content, 5000, 8, options);
      Bytes plane = rans_symbols(content, 5001);
      for (uint32_t lanes : {64, 128}) round_trip(segments_of(plane, {}, {size}, lanes), plane);
    }
  }
}

// Frequencies that have little to do with the symbols: states, slots and cells of every kind.
TEST_P(ContextRansTest, AnyFrequencies) {
  for (uint64_t seed = 0; seed < 300 && !HasFatalFailure(); seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    RansModel model;
    model.lanes = random.below(2) ? 64 : 128;
    model.tables = {random_table(2 + static_cast<uint32_t>(seed % 63), seed)};
    const RansTable& t = model.tables[0];
    Bytes plane(1500);
    for (uint8_t& s : plane)
      s = random.below(seed % 7 ? 9 : 2) ? t.value[random.below(t.size - 1)] : static_cast<uint8_t>(random.next());
    model.segment_ends = {plane.size()};
    round_trip(model, plane);
  }
}

TEST_P(ContextRansTest, Segments) {
  struct Row {
    std::vector<uint64_t> units;
    std::vector<uint32_t> table_sizes;  // 0: verbatim
  };
  const Row rows[] = {{{1}, {5, 6}},
                      {{1}, {0, 9}},
                      {{1}, {9, 0}},
                      {{1}, {0, 0}},
                      {{1, 2, 3}, {2, 64, 17, 16}},
                      {{3, 1, 2}, {0, 33, 0, 7}},
                      {{1, 1, 4}, {33, 0, 0, 32}},
                      {{4, 4}, {3, 5, 0}},
                      {std::vector<uint64_t>(63, 1), std::vector<uint32_t>(64, 6)}};
  for (Content content : {Content::kGeometric, Content::kEscapes, Content::kRuns, Content::kBytes})
    for (const Row& row : rows)
      for (uint32_t lanes : {64, 128})
        for (uint64_t rest : {1, 63, 64, 127, 1024, 1025, 5000}) {
          SCOPED_TRACE(testing::Message() << row.table_sizes.size() << " segments, the last of " << rest << ", content "
                                          << static_cast<int>(content) << ", " << lanes << " lanes");
          uint64_t n = std::accumulate(row.units.begin(), row.units.end(), uint64_t{0}) * kRansUnit + rest;
          if (rest > 128 && row.units.size() > 9) continue;
          Bytes plane = rans_symbols(content, n);
          round_trip(segments_of(plane, row.units, row.table_sizes, lanes), plane);
          if (HasFatalFailure()) return;
        }
}

TEST_P(ContextRansTest, ChosenSegments) {
  for (Content content : {Content::kRuns, Content::kGeometric, Content::kBytes})
    for (uint32_t most : {1, 3, 64}) {
      RansOptions options;
      options.segment = kRansUnit, options.max_segments = most, options.small = most == 3;
      round_trip(content, 70001, 8, options);
    }
  // Noise in the middle stands verbatim.
  Bytes plane = rans_symbols(Content::kTwo, 3 << 15), noise = random_bytes(1 << 15, 3);
  std::copy(noise.begin(), noise.end(), plane.begin() + (1 << 15));
  RansModel model;
  EXPECT_TRUE(choose_segments({plane.data(), plane.size()}, plane.size(), {}, model));
  ASSERT_EQ(model.tables.size(), 3u);
  EXPECT_TRUE(model.tables[0].size && !model.tables[1].size && model.tables[2].size);
  round_trip(model, plane);
}

TEST_P(ContextRansTest, GivenContexts) {
  for (Content content : {Content::kGeometric, Content::kForty, Content::kEscapes, Content::kTwo})
    for (uint32_t classes : {1, 2, 3, 8, 16})
      for (uint32_t size : {2, 16, 33, 64})
        for (uint64_t n : {1, 63, 64, 65, 129, 1024, 4097, 9000}) {
          uint32_t lanes = (classes + size + n) % 2 ? 64 : 128;
          SCOPED_TRACE(testing::Message() << n << " symbols, " << classes << " classes of " << size << ", content "
                                          << static_cast<int>(content) << ", " << lanes << " lanes");
          Bytes context = random_bytes(n, n), plane = rans_symbols(content, n);
          for (uint64_t i = 0; i < n; i++) plane[i] = static_cast<uint8_t>(plane[i] + context[i] % 16);
          auto class_of = [&](uint32_t c) { return size % 2 ? c * classes / 256 : c % classes; };
          round_trip(classes_of(plane, context, classes, size, lanes, class_of), plane, 8, context);
          if (HasFatalFailure()) return;
        }
}

TEST_P(ContextRansTest, WhatTheLaneCodedBefore) {
  for (Content content : {Content::kGeometric, Content::kForty, Content::kEscapes, Content::kTwo, Content::kRuns})
    for (uint32_t classes : {1, 2, 7, 16})
      for (uint32_t lanes : {64, 128})
        for (uint64_t n : {1, 64, 65, 128, 129, 300, 4096, 4097, 12345}) {
          SCOPED_TRACE(testing::Message() << n << " symbols, " << classes << " classes, content "
                                          << static_cast<int>(content) << ", " << lanes << " lanes");
          Bytes plane = rans_symbols(content, n), context = lane_context(plane, lanes);
          auto class_of = [&](uint32_t c) { return c * 37 % classes; };
          round_trip(classes_of(plane, context, classes, 9 + 5 * classes % 50, lanes, class_of), plane, 8, context,
                     true);
          if (HasFatalFailure()) return;
        }
}

// Symbols that follow from their contexts: what is chosen is nearly nothing, and decodes.
TEST_P(ContextRansTest, ChosenClasses) {
  for (uint64_t n : {5000, 1 << 17, 300001}) {
    Bytes context = rans_symbols(Content::kForty, n), plane(n);
    Random random(n);
    for (uint64_t i = 0; i < n; i++)
      plane[i] = static_cast<uint8_t>(context[i] / 64 * 10 + (random.below(200) ? 0 : 1 + random.below(90)));
    RansModel segments, model;
    ASSERT_TRUE(choose_segments({plane.data(), n}, n, {}, segments));
    ASSERT_TRUE(choose_classes(plane.data(), context.data(), n, {}, segments.estimate, model));
    EXPECT_LT(model.estimate, segments.estimate / 2);
    EXPECT_TRUE(model.segment_ends.empty() && model.tables.size() > 1);
    round_trip(model, plane, 8, context);
    EXPECT_LT(encode(model, plane, context).size(), encode(segments, plane).size() / 2);
    EXPECT_FALSE(choose_classes(plane.data(), context.data(), n, {}, 100, model)) << "100 bytes are not enough";
    Bytes noise = random_bytes(n, 3);
    EXPECT_FALSE(choose_classes(plane.data(), noise.data(), n, {}, segments.estimate, model)) << "says nothing";
  }
  RansModel model;
  EXPECT_FALSE(choose_classes(nullptr, nullptr, 0, {}, ~uint64_t{0}, model));
}

// Streams of segments, of classes with a given context, and of classes by lane; with all kinds of escapes.
struct Coded {
  const char* name;
  Bytes plane, context, stream;
  bool lane;
  Contexts contexts() const { return {lane || context.empty() ? nullptr : &context, lane}; }
};

class DamageTest : public ContextRansTest {
 protected:
  std::vector<Coded> samples(uint64_t n) {
    std::vector<Coded> all;
    auto by_thirds = [](uint32_t c) { return c * 3 / 256; };
    for (Content content : {Content::kGeometric, Content::kEscapes, Content::kNearlyOne}) {
      Bytes plane = rans_symbols(content, n), context = random_bytes(n, n), lane = lane_context(plane, 64);
      all.push_back({"one table", plane, {}, encode(segments_of(plane, {}, {7}, 64), plane), false});
      all.push_back(
          {"classes", plane, context, encode(classes_of(plane, context, 3, 7, 64, by_thirds), plane, context), false});
      all.push_back({"lanes", plane, lane, encode(classes_of(plane, lane, 3, 7, 64, by_thirds), plane, lane), true});
      if (n > kRansUnit)
        all.push_back({"segments", plane, {}, encode(segments_of(plane, {1}, {0, 5}, 64), plane), false});
    }
    return all;
  }
};

TEST_P(DamageTest, EveryTruncationIsCorrupt) {
  for (uint64_t n : {99, 700, 1100})
    for (Coded& s : samples(n)) {
      SCOPED_TRACE(s.name);
      ASSERT_TRUE(decodes(s.stream, n, 8, s.contexts()));
      for (size_t cut = 0; cut < s.stream.size(); cut++)
        EXPECT_FALSE(decodes(Bytes(s.stream.begin(), s.stream.begin() + static_cast<long>(cut)), n, 8, s.contexts()))
            << "cut at " << cut;
      s.stream.push_back(0);
      EXPECT_FALSE(decodes(s.stream, n, 8, s.contexts())) << "one byte more";
    }
}

TEST_P(DamageTest, EveryBitFlipDecodesOrIsCorrupt) {
  for (uint64_t n : {1, 64, 700, 1100})
    for (Coded& s : samples(n))
      for (size_t bit = 0; bit < 8 * s.stream.size(); bit += n > 1000 ? 3 : 1) {
        s.stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        decodes(s.stream, n, 8, s.contexts());
        s.stream[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      }
}

// A valid header with random states, escapes and bytes: the loops run on, however little is left.
TEST_P(DamageTest, GarbageBehindAValidHeader) {
  for (Coded& s : samples(3000)) {
    // Behind the tables.
    size_t states = 20 + (s.stream[1] ? 128 : 2 * (s.stream[2] - size_t{1}));
    for (uint32_t t = 0; t < s.stream[2]; t++) {
      size_t length = s.stream[states + 1], entries = 0;
      for (size_t i = 0; i < length; i++) entries += static_cast<size_t>(__builtin_popcount(s.stream[states + 2 + i]));
      states += 2 + length + (length ? entries + 1 : 0);
    }
    for (uint64_t seed = 0; seed < 100; seed++) {
      Bytes stream = s.stream, noise = random_bytes(stream.size(), seed);
      std::copy(noise.begin() + static_cast<long>(states), noise.end(), stream.begin() + static_cast<long>(states));
      for (size_t i = 0; i < 64; i++) stream[states + i] |= 1;
      EXPECT_FALSE(decodes(stream, 3000, 8, s.contexts()));
      if (!s.context.empty()) continue;
      for (uint64_t n : {64, 1 << 18}) EXPECT_FALSE(decodes(stream, n));
    }
  }
}

struct Change {
  const char* error;
  std::function<void(Bytes&)> change;
};

auto put8(size_t at, uint32_t v) {
  return [=](Bytes& s) { s[at] = static_cast<uint8_t>(v); };
}
auto put32(size_t at, uint32_t v) {
  return [=](Bytes& s) { std::memcpy(&s[at], &v, 4); };
}

TEST_P(DamageTest, FieldsOfSegmentsOutOfRangeAreCorrupt) {
  // Two segments: 1024 symbols verbatim, 176 with the table {5: 255, escape: 1}, which is 05 01 01 FF 01.
  Bytes plane(1200, 5);
  plane[1100] = 77;
  Bytes good = encode(segments_of(plane, {1}, {0, 2}, 64), plane);
  const size_t length = 20, verbatim = 22, first = 24, size = 25, bitmap = 26, frequencies = 27, high = 29;
  ASSERT_TRUE(good[length] == 1 && good[verbatim] == 0 && good[first] == 5 && good[size] == 1 && good[bitmap] == 1);
  ASSERT_EQ(good[4], 1);
  auto rans_size = [&](int more) {
    return [&good, more](Bytes& s) { put32(16, static_cast<uint32_t>(good[16] | good[17] << 8) + more)(s); };
  };
  const Change changes[] = {
      {"lanes 0", put8(0, 0)},
      {"lanes 65", put8(0, 65)},
      {"lanes 255", put8(0, 255)},
      {"kind 2 is not 0 or 1", put8(1, 2)},
      {"kind is 1, but the plane has no context", put8(1, 1)},
      {"table_count 0", put8(2, 0)},
      {"table_count 65 is not 1 to 64", put8(2, 65)},
      {"reserved", put8(3, 1)},
      {"escape_count 1201 is more than 1200", put32(4, 1201)},
      {"escape_count", put32(4, ~0u)},
      {"second_escape_count 2 is more than 1", put32(8, 2)},
      {"raw_escape_count 1 is more than 0", put32(12, 1)},
      {"rans stream: bytes", put32(16, ~0u)},
      {"rans stream: bytes", rans_size(1)},
      {"1 bytes too long", rans_size(-1)},
      {"segment_length 0 leaves no symbols", put8(length, 0)},
      {"segment_length 2 leaves no symbols", put8(length, 2)},
      {"segment_length 65281 leaves no symbols", put8(length + 1, 255)},
      {"bitmap_size 0 is not 1 to 32", put8(verbatim, 1)},
      {"bitmap_size 0 is not 1 to 32", put8(size, 0)},
      {"bitmap_size 33 is not 1 to 32", put8(size, 33)},
      {"bitmap does not begin and end with a value", put8(bitmap, 2)},
      {"bitmap does not begin and end with a value", put8(bitmap, 0)},
      {"frequencies add up to 255", put8(frequencies, 254)},
      {"frequencies have a zero", put8(frequencies + 1, 0)},
      {"a state below 256", put8(high + 63, 0)},
  };
  for (const Change& c : changes) {
    Bytes stream = good;
    c.change(stream);
    EXPECT_ERROR(kCorrupt, c.error, decode(stream, 1200)) << c.error;
  }
  EXPECT_ERROR(kCorrupt, "symbols of 16 bits", decode(good, 1200, 16));
  EXPECT_ERROR(kCorrupt, "segment_length 1 leaves no symbols", decode(good, 1024));
  EXPECT_ERROR(kCorrupt, "bitmap has a value of more than 2 bits", decode(good, 1200, 2));
  EXPECT_ERROR(kCorrupt, "an escape has more than 4 bits", decode(good, 1200, 4));
  Bytes large = good;
  large[high + 128 + 15 + 1] = 16;  // the first verbatim symbol
  large[high + 128] = 9;            // and the escape
  EXPECT_ERROR(kCorrupt, "a symbol has more than 4 bits", decode(large, 1200, 4));
  EXPECT_NO_THROW(decode(large, 1200, 5));
  // 64 values and the escape are too many.
  Bytes fives(1200, 5), many = encode(segments_of(fives, {}, {64}, 64), fives);
  ASSERT_TRUE(many[20] == 0 && many[21] == 8);
  many[22 + 7] |= 0x80;
  EXPECT_ERROR(kCorrupt, "bitmap has more than 63 values", decode(many, 1200));
  // A value beyond 255.
  many = encode(segments_of(Bytes(99, 255), {}, {2}, 64), Bytes(99, 255));
  ASSERT_TRUE(many[20] == 255 && many[21] == 1);
  many[22] = 3;
  EXPECT_ERROR(kCorrupt, "bitmap has a value of more than 8 bits", decode(many, 99));
  Bytes empty = encode(segments_of({}, {}, {2}, 64), {});
  empty[empty.size() - 64 + 5] = 1;
  EXPECT_ERROR(kCorrupt, "the state of lane 5 does not end as it began", decode(empty, 0));
}

TEST_P(DamageTest, FieldsOfClassesOutOfRangeAreCorrupt) {
  Bytes plane(300, 5), context(300, 9), even(300, 8);
  RansModel model = classes_of(plane, context, 3, 2, 64, [](uint32_t c) { return c % 3; });
  Bytes good = encode(model, plane, context);
  const Contexts contexts{&context, false};
  EXPECT_TRUE(decode(good, 300, 8, contexts) == plane);
  const Change changes[] = {
      {"table_count 0 is not 1 to 16", put8(2, 0)},
      {"table_count 17 is not 1 to 16", put8(2, 17)},
      {"class_of names a class that is not there", put8(20, 0x03)},
      {"class_of names a class that is not there", put8(20 + 127, 0xf0)},
      {"class_of names a class that is not there", put8(2, 2)},
      {"bitmap_size 0 is not 1 to 32", [](Bytes& s) { s[148] = s[149] = 0; }},  // verbatim is for segments
      {"kind", put8(1, 2)},
  };
  for (const Change& c : changes) {
    Bytes stream = good;
    c.change(stream);
    EXPECT_ERROR(kCorrupt, c.error, decode(stream, 300, 8, contexts)) << c.error;
  }
  EXPECT_ERROR(kCorrupt, "kind is 1, but the plane has no context", decode(good, 300));
  // A context is allowed, and not needed.
  good = encode(segments_of(plane, {}, {2}, 64), plane);
  EXPECT_TRUE(decode(good, 300, 8, contexts) == plane);
}

TEST_P(DamageTest, EscapesMustAgreeWithTheirCounts) {
  // 40 values that the table lacks, one to three times each: 15 in the first list, 15 in the second, 10 in full.
  Bytes plane(399, 5), all;
  for (uint32_t v = 0, at = 0; v < 40; v++)
    for (uint32_t k = 0; k < (v < 15 ? 3 : v < 30 ? 2 : 1); k++) plane[at += 4] = static_cast<uint8_t>(100 + v);
  RansModel model = segments_of(Bytes(99, 5), {}, {2}, 64);
  model.segment_ends[0] = 399;
  Bytes good = encode(model, plane), stream;
  const uint32_t first = 45 + 30 + 10, second = 30 + 10, full = 10;
  ASSERT_TRUE(good[4] == first && good[8] == second && good[12] == full);
  size_t nibbles = 20 + 5 + 128 + 15, second_nibbles = nibbles + (first + 1) / 2 + 15;
  size_t raw = second_nibbles + (second + 1) / 2;
  ASSERT_EQ(decode_by_the_text(Coder::kContextRans, good, 399), plane);
  ASSERT_EQ(decode(good, 399), plane);
  auto changed = [&](auto change) {
    stream = good;
    change(stream);
    return stream;
  };
  auto at = [](Bytes& s, size_t i) { return s.begin() + static_cast<long>(i); };
  EXPECT_ERROR(kCorrupt, "more escapes stand in full", decode(changed([&](Bytes& s) { s[nibbles] |= 0x0f; }), 399));
  EXPECT_ERROR(kCorrupt, "more escapes", decode(changed([&](Bytes& s) { s[second_nibbles] |= 0xff; }), 399));
  EXPECT_ERROR(kCorrupt, "fewer escapes stand in full",
               decode(changed([&](Bytes& s) {
                        size_t i = nibbles;
                        while ((s[i] & 15) != 15) i++;
                        s[i] &= 0xf0;
                      }),
                      399));
  EXPECT_ERROR(kCorrupt, "fewer escapes",
               decode(changed([&](Bytes& s) {
                        size_t i = second_nibbles;
                        while ((s[i] & 15) != 15) i++;
                        s[i] &= 0xf0;
                      }),
                      399));
  EXPECT_ERROR(kCorrupt, "nibbles has an unused half",
               decode(changed([&](Bytes& s) { s[nibbles + first / 2] |= 0x10; }), 399));
  EXPECT_ERROR(kCorrupt, "fewer escapes", decode(changed([&](Bytes& s) { s[12]++, s.insert(at(s, raw), 1); }), 399));
  EXPECT_ERROR(kCorrupt, "more escapes", decode(changed([&](Bytes& s) { s[12]--, s.erase(at(s, raw)); }), 399));
  // One escape more in the list than in the symbols, and one less.
  EXPECT_ERROR(kCorrupt, "left over", decode(changed([&](Bytes& s) { s[4]++; }), 399));
  EXPECT_ERROR(kCorrupt, "rans stream", decode(changed([&](Bytes& s) { s[4]--; }), 399));
  // An odd second list has an unused half, too.
  plane[4 * 85] = 5;
  good = encode(model, plane);
  ASSERT_TRUE(good[4] == first - 1 && good[8] == second - 1);
  second_nibbles = nibbles + first / 2 + 15;
  EXPECT_ERROR(kCorrupt, "second_nibbles has an unused half",
               decode(changed([&](Bytes& s) { s[second_nibbles + second / 2 - 1] |= 0x10; }), 399));
}

TEST_P(DamageTest, PaddingIsNoEscape) {
  Bytes plane(99, 5), context(99, 1);
  plane[96] = 202;
  Bytes good = encode(segments_of(plane, {}, {2}, 64), plane);
  EXPECT_ERROR(kCorrupt, "padding is an escape", decode(good, 96));
  EXPECT_TRUE(decodes(good, 97));
  // Padding has context 0, whatever stands behind the contexts.
  RansModel model = classes_of(plane, context, 2, 2, 64, [](uint32_t c) { return c == 1; });
  good = encode(model, plane, context);
  EXPECT_TRUE(decode(good, 99, 8, {&context, false}) == plane);
}

TEST_P(ContextRansTest, ZeroWhenTheStreamDoesNotFit) {
  for (Content content : {Content::kGeometric, Content::kEscapes, Content::kBytes}) {
    Bytes plane = rans_symbols(content, 5000);
    RansModel model = segments_of(plane, {1}, {9, 0}, 64);
    uint64_t full = encode(model, plane).size();
    for (uint64_t capacity : {uint64_t{0}, uint64_t{15}, uint64_t{1000}, full - 1})
      EXPECT_EQ(encode(model, plane, {}, rans_kernels(GetParam()), capacity).size(), 0u);
    EXPECT_EQ(encode(model, plane, {}, rans_kernels(GetParam()), full).size(), full);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, ContextRansTest, testing::ValuesIn(kIsas),
                         [](const auto& i) { return std::string(isa_name(i.param)); });
INSTANTIATE_TEST_SUITE_P(Isa, DamageTest, testing::ValuesIn(kIsas),
                         [](const auto& i) { return std::string(isa_name(i.param)); });

// Bits per symbol against the order-0 entropy of what was drawn, and the estimate against both.
TEST(ContextRans, NearTheEntropy) {
  RansScratch scratch;
  struct Row {
    Content content;
    double bits;  // at most
  };
  for (const Row& row : {Row{Content::kTwo, 1.02}, Row{Content::kGeometric, 2.04}, Row{Content::kNearlyOne, 0.03},
                         Row{Content::kSixteen, 4.03}}) {
    Bytes plane = rans_symbols(row.content, 1 << 20), out(plane.size());
    ASSERT_TRUE(choose_segments({plane.data(), plane.size()}, plane.size(), {}, scratch.model));
    auto estimate = static_cast<double>(scratch.model.estimate);
    uint64_t n = encode_context_rans({plane.data(), plane.size(), 8}, nullptr, out.data(), out.size(), scratch,
                                     rans_kernels(Isa::kScalar));
    ASSERT_GT(n, 0u);
    EXPECT_LT(8.0 * static_cast<double>(n) / static_cast<double>(plane.size()), row.bits)
        << static_cast<int>(row.content);
    EXPECT_NEAR(estimate, static_cast<double>(n), 0.1 * static_cast<double>(n));
  }
}

TEST(ContextRans, NothingToGainOnNoise) {
  for (uint64_t n : {1000, 100000, 1 << 20}) {
    Bytes noise = random_bytes(n, n);
    RansModel model;
    EXPECT_FALSE(choose_segments({noise.data(), n}, n, {}, model)) << n;
  }
}

// A table from a sixteenth of the plane serves nearly as well.
TEST(ContextRans, ModelsOfSamples) {
  RansScratch scratch;
  for (Content content : {Content::kTwo, Content::kGeometric, Content::kSixteen, Content::kForty}) {
    Bytes plane = rans_symbols(content, 1 << 19), part, out(plane.size());
    for (uint64_t at = 0; at < plane.size(); at += 16 * kSampleRun)
      part.insert(part.end(), plane.begin() + static_cast<long>(at),
                  plane.begin() + static_cast<long>(at + kSampleRun));
    uint64_t sizes[2];
    for (int sampled = 0; sampled < 2; sampled++) {
      const Bytes& from = sampled ? part : plane;
      ASSERT_TRUE(choose_segments({from.data(), from.size()}, plane.size(), {}, scratch.model));
      sizes[sampled] = encode_context_rans({plane.data(), plane.size(), 8}, nullptr, out.data(), out.size(), scratch,
                                           rans_kernels(Isa::kScalar));
      ASSERT_GT(sizes[sampled], 0u);
    }
    EXPECT_LT(sizes[1], sizes[0] + sizes[0] / 50) << static_cast<int>(content);
  }
}

}  // namespace
}  // namespace mithril
