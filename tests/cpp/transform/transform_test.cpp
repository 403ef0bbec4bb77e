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

}  // namespace
}  // namespace mithril
