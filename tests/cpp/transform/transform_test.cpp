#include "csrc/transform/transform.h"

#include <gtest/gtest.h>

#include "tests/cpp/transform/reference.h"

namespace mithril {
namespace {

// docs/format.md 6.3, the table of planes, by the name of the dtype.
TEST(PlanesOf, FloatFieldsAsPrinted) {
  struct Row {
    const char* name;
    std::vector<uint8_t> bits;
  };
  const Row rows[] = {{"bfloat16", {8, 8}},
                      {"float16", {5, 3, 8}},
                      {"float32", {8, 8, 8, 8}},
                      {"float64", {8, 3, 5, 8, 8, 8, 8, 8, 8}},
                      {"complex32", {5, 3, 8}},
                      {"complex64", {8, 8, 8, 8}},
                      {"complex128", {8, 3, 5, 8, 8, 8, 8, 8, 8}},
                      {"float8_e4m3fn", {4, 4}},
                      {"float8_e4m3fnuz", {4, 4}},
                      {"float8_e5m2", {5, 3}},
                      {"float8_e5m2fnuz", {5, 3}}};
  for (const DTypeInfo& d : kDTypes) {
    PlaneList expected;
    for (const Row& row : rows)
      if (row.name == d.name)
        for (uint8_t b : row.bits) expected.add(b);
    EXPECT_TRUE(planes_of(Transform::kFloatFields, d) == expected) << d.name;
  }
}

// docs/format.md 6.4, likewise.
TEST(PlanesOf, FloatKeysAsPrinted) {
  struct Row {
    const char* name;
    uint32_t joined;
    std::vector<uint8_t> bits;
  };
  const Row rows[] = {{"bfloat16", 1, {7, 1, 8}},
                      {"bfloat16", 2, {6, 2, 8}},
                      {"float16", 2, {1, 8, 7}},
                      {"float32", 1, {7, 8, 8, 1, 8}},
                      {"float64", 1, {4, 8, 8, 8, 8, 8, 8, 4, 8}},
                      {"float8_e4m3fn", 2, {2, 6}},
                      {"float8_e5m2", 2, {1, 7}}};
  for (const Row& row : rows) {
    PlaneList expected, with_mask;
    with_mask.add(2);
    for (uint8_t b : row.bits) expected.add(b), with_mask.add(b);
    const DTypeInfo& d = *find_dtype(row.name);
    uint16_t parameter = KeyForm{row.joined, false, 0}.parameter();
    EXPECT_EQ(parameter, row.joined);
    EXPECT_TRUE(planes_of(Transform::kFloatKeys, d, parameter) == expected) << d.name;
    EXPECT_TRUE(planes_of(Transform::kNonzeroKeys, d, parameter) == with_mask) << d.name;
  }
}

TEST(PlanesOf, KeysOfEveryDTypeAndParameter) {
  for (const DTypeInfo& d : kDTypes)
    for (uint32_t parameter = 0; parameter < 65536; parameter++) {
      uint32_t j = parameter % 4, base = parameter / 8, e = d.exponent_bits;
      bool no_signs = parameter / 4 % 2;
      bool valid = e && j <= std::min(2u, d.mantissa_bits) && (e + j > 8 ? base + 256 <= 1u << (e + j) : base == 0);
      valid = valid && !(no_signs && (d.mantissa_bits - j + 1) % 8 == 1);
      PlaneList expected, with_mask;
      if (valid) {
        with_mask.add(2);
        for (uint8_t b : reference_key_bits({d.component_bytes, e, d.mantissa_bits}, j, no_signs))
          expected.add(b), with_mask.add(b);
      }
      auto p = static_cast<uint16_t>(parameter);
      ASSERT_TRUE(planes_of(Transform::kFloatKeys, d, p) == expected) << d.name << ", parameter " << parameter;
      ASSERT_TRUE(planes_of(Transform::kNonzeroKeys, d, p) == with_mask) << d.name << ", parameter " << parameter;
      KeyForm form = KeyForm::of(p);
      ASSERT_TRUE(form.joined == j && form.no_signs == no_signs && form.base == base && form.parameter() == p);
    }
}

TEST(PlanesOf, IdentityAndBytePlanes) {
  for (const DTypeInfo& d : kDTypes) {
    PlaneList identity = planes_of(Transform::kIdentity, d), bytes = planes_of(Transform::kBytePlanes, d);
    EXPECT_EQ(identity.count, 1u);
    EXPECT_EQ(identity.symbol_bits[0], 8 * d.element_bytes);
    EXPECT_EQ(bytes.count, d.component_bytes > 1 ? d.component_bytes : 0) << d.name;
    for (uint32_t k = 0; k < bytes.count; k++) EXPECT_EQ(bytes.symbol_bits[k], 8);
    EXPECT_EQ(symbols_of(Transform::kIdentity, d, 10), 10u);
    EXPECT_EQ(symbols_of(Transform::kBytePlanes, d, 10) * d.component_bytes, 10 * d.element_bytes);
  }
}

TEST(Transform, EveryDTypeSplitsAsTheReferenceAndJoinsBack) {
  constexpr uint64_t kElements = 333;
  for (const DTypeInfo& d : kDTypes)
    for (Transform t : {Transform::kBytePlanes, Transform::kFloatFields})
      for (Pattern pattern : kPatterns) {
        PlaneList planes = planes_of(t, d);
        if (planes.count == 0) continue;
        SCOPED_TRACE(d.name);
        uint64_t n = symbols_of(t, d, kElements);
        Bytes raw = sample(d, pattern, kElements), joined(raw.size());
        bool fields = t == Transform::kFloatFields;
        auto expected =
            reference_split({d.component_bytes, fields ? d.exponent_bits : 0, d.mantissa_bits}, raw.data(), n);
        ASSERT_EQ(expected.size(), planes.count);
        std::vector<Bytes> split_planes(planes.count, Bytes(n));
        std::vector<uint8_t*> to;
        for (Bytes& p : split_planes) to.push_back(p.data());
        split(t, d, raw.data(), n, to.data());
        EXPECT_TRUE(split_planes == expected);
        for (uint32_t k = 0; k < planes.count; k++)
          for (uint8_t s : split_planes[k]) ASSERT_EQ(s >> planes.symbol_bits[k], 0);
        join(t, d, to.data(), n, joined.data());
        EXPECT_TRUE(joined == raw);
      }
}

TEST(Transform, KeysOfEveryDTypeSplitAsTheReferenceAndJoinBack) {
  constexpr uint64_t kElements = 333;
  for (const DTypeInfo& d : kDTypes)
    for (uint32_t j = 0; d.exponent_bits && j <= 2; j++)
      for (uint32_t base : {0, 64, 100})
        for (Pattern pattern : kPatterns) {
          KeyForm form{j, false, base};
          PlaneList planes = planes_of(Transform::kFloatKeys, d, form.parameter());
          if (planes.count == 0) continue;
          SCOPED_TRACE(testing::Message() << d.name << ", " << j << " bits, base " << base);
          uint64_t n = symbols_of(Transform::kFloatKeys, d, kElements);
          Bytes raw = sample(d, pattern, kElements), joined(raw.size());
          auto expected = reference_keys({d.component_bytes, d.exponent_bits, d.mantissa_bits}, j, base, raw.data(), n);
          std::vector<Bytes> split_planes(planes.count, Bytes(n));
          std::vector<uint8_t*> to;
          for (Bytes& p : split_planes) to.push_back(p.data());
          uint32_t high = split_keys(d, form, raw.data(), n, to.data());
          if (key_bits(d, j) > 8) split_key_high(d, form, raw.data(), n, to[planes.count - 2]);
          ASSERT_TRUE(split_planes == expected);
          join_keys(d, form, to.data(), n, joined.data());
          EXPECT_TRUE(joined == raw);
          if (key_bits(d, j) <= 8 || high) continue;
          to[planes.count - 2] = nullptr;
          joined.assign(raw.size(), 0xff);
          join_keys(d, form, to.data(), n, joined.data());
          EXPECT_TRUE(joined == raw) << "without key_high";
        }
}

TEST(Nonzero, PickAndSpread) {
  for (uint32_t width : {1, 2, 4, 8})
    for (uint32_t zeros : {0, 1, 50, 99, 100})  // in a hundred
      for (uint64_t n = 0; n <= 5000; n += n < 300 ? 1 : 941) {
        SCOPED_TRACE(testing::Message() << n << " components of " << width << " bytes, " << zeros << "% zeros");
        Random random(n + zeros);
        Bytes raw = random_bytes(n * width, n), expected, expected_mask(n);
        for (uint64_t i = 0; i < n; i++) {
          uint8_t* p = raw.data() + i * width;
          if (random.below(100) < zeros)
            std::memset(p, 0, width);
          else if (random.below(2))  // one bit is enough, wherever but in the sign
            std::memset(p, 0, width), p[random.below(width)] = static_cast<uint8_t>(1 << random.below(8));
          if (random.below(3) == 0) p[width - 1] |= 0x80;
          bool other = p[width - 1] & 0x7f || std::any_of(p, p + width - 1, [](uint8_t b) { return b != 0; });
          expected_mask[i] = other ? 1 : p[width - 1] ? 2 : 0;
          if (other) expected.insert(expected.end(), p, p + width);
        }
        Guarded mask(n), nonzero(n * width + 64), back(n * width, 3);
        Bytes exact(raw.data(), raw.data() + raw.size());
        exact.shrink_to_fit();
        uint64_t picked = pick_nonzero(exact.data(), n, width, mask.data(), nonzero.data());
        ASSERT_TRUE(mask.intact() && nonzero.intact());
        ASSERT_EQ(picked * width, expected.size());
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), nonzero.data()));
        ASSERT_TRUE(std::equal(expected_mask.begin(), expected_mask.end(), mask.data()));
        Bytes with_room = expected, exact_mask(mask.data(), mask.data() + n);
        with_room.resize(expected.size() + 64, 0xee), with_room.shrink_to_fit(), exact_mask.shrink_to_fit();
        spread_nonzero(with_room.data(), exact_mask.data(), n, width, back.data());
        ASSERT_TRUE(back.intact());
        ASSERT_TRUE(std::equal(raw.begin(), raw.end(), back.data()));
      }
}

}  // namespace
}  // namespace mithril
