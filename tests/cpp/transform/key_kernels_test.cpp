#include <gtest/gtest.h>

#include "csrc/transform/kernels.h"
#include "tests/cpp/transform/reference.h"

namespace mithril {
namespace {

struct Row {
  KeyLayout layout;
  Fields fields;
};
constexpr Row kRows[] = {{KeyLayout::kBFloat16, {2, 8, 7}}, {KeyLayout::kFloat16, {2, 5, 10}},
                         {KeyLayout::kFloat32, {4, 8, 23}}, {KeyLayout::kFloat64, {8, 11, 52}},
                         {KeyLayout::kFloat8E4, {1, 4, 3}}, {KeyLayout::kFloat8E5, {1, 5, 2}}};
static_assert(std::size(kRows) == static_cast<size_t>(KeyLayout::kCount));

constexpr uint64_t kBig = 20011;

std::vector<uint32_t> bases(const Fields& f, uint32_t j) {
  if (f.exponent + j <= 8) return {0};
  uint32_t last = (1u << (f.exponent + j)) - 256;
  return {0, 1, 17, 64, last / 2, last - 1, last};
}

// Components whose keys lie within the window of the base, but for one in `outside`.
Bytes within(const Fields& f, uint32_t j, uint32_t base, uint64_t n, uint64_t outside) {
  Bytes raw = random_bytes(n * f.bytes, n + base + outside);
  Random random(base);
  uint64_t mask = ((uint64_t{1} << (f.exponent + j)) - 1) << (f.mantissa - j);
  for (uint64_t i = 0; i < n; i++) {
    if (outside && random.below(outside) == 0) continue;
    uint64_t x = 0, key = random.below(20) ? base + 1 + random.below(255) : 0;
    std::memcpy(&x, &raw[i * f.bytes], f.bytes);
    x = (x & ~mask) | (key << (f.mantissa - j) & mask);
    std::memcpy(&raw[i * f.bytes], &x, f.bytes);
  }
  return raw;
}

class KeyKernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam())) GTEST_SKIP() << "this CPU lacks " << isa_name(GetParam());
  }

  // The first n components of `raw`, of whose planes `expected` are the first n symbols and more.
  void check(const Row& row, uint32_t j, uint32_t base, const Bytes& raw, const std::vector<Bytes>& expected,
             uint64_t n) {
    const KeyKernels& k = key_kernels(GetParam(), row.layout, j);
    const bool wide = row.fields.exponent + j > 8;
    const size_t count = expected.size(), high = wide ? count - 2 : count;
    // Nothing is aligned, each plane differently so.
    std::vector<Guarded> planes;
    std::vector<uint8_t*> to;
    for (size_t p = 0; p < count; p++) planes.emplace_back(n, p + 1);
    for (Guarded& p : planes) to.push_back(p.data());
    Bytes exact(raw.begin(), raw.begin() + static_cast<long>(n * row.fields.bytes));
    if (wide) to[high] = nullptr;
    uint32_t any = k.split(exact.data(), n, base, to.data());
    if (wide) {
      to[high] = planes[high].data();
      kernels(GetParam()).keys[static_cast<size_t>(row.layout)][j].split_high(exact.data(), n, base, to[high]);
    }
    uint32_t expected_any = 0;
    for (uint64_t i = 0; wide && i < n; i++) expected_any |= expected[high][i];
    ASSERT_EQ(any, expected_any);
    for (size_t p = 0; p < count; p++) {
      ASSERT_TRUE(planes[p].intact()) << "plane " << p;
      ASSERT_TRUE(std::equal(to[p], to[p] + n, expected[p].data())) << "plane " << p;
    }
    Guarded joined(exact.size(), 3);
    k.join(to.data(), n, base, joined.data());
    ASSERT_TRUE(joined.intact());
    ASSERT_TRUE(std::equal(exact.begin(), exact.end(), joined.data()));
    if (!wide || any) return;
    to[high] = nullptr;
    std::memset(joined.data(), 0xff, joined.size());
    k.join(to.data(), n, base, joined.data());
    ASSERT_TRUE(joined.intact());
    ASSERT_TRUE(std::equal(exact.begin(), exact.end(), joined.data())) << "without key_high";
  }
};

TEST_P(KeyKernelsTest, EqualTheReferenceOverAllTails) {
  for (const Row& row : kRows)
    for (uint32_t j = 0; j <= kMaxJoined; j++)
      for (uint32_t base : bases(row.fields, j))
        for (uint64_t outside : {0, 1, 400}) {  // none, all, few
          Bytes raw = within(row.fields, j, base, kBig, outside);
          std::vector<Bytes> expected = reference_keys(row.fields, j, base, raw.data(), kBig);
          for (uint64_t n = 0; n <= 257; n++) {
            SCOPED_TRACE(testing::Message() << "layout " << static_cast<int>(row.layout) << ", " << j << " bits, base "
                                            << base << ", n " << n);
            check(row, j, base, raw, expected, n);
            if (HasFatalFailure()) return;
          }
          check(row, j, base, raw, expected, kBig);
        }
}

TEST_P(KeyKernelsTest, EverySixteenBitPattern) {
  for (const Row& row : kRows)
    for (uint32_t j = 0; j <= kMaxJoined; j++)
      for (uint32_t base : bases(row.fields, j)) {
        SCOPED_TRACE(testing::Message() << "layout " << static_cast<int>(row.layout) << ", " << j << " bits, base "
                                        << base);
        // The upper half of wider components; the pattern repeated for narrower ones.
        uint32_t width = row.fields.bytes, at = width > 2 ? width - 2 : 0, some = std::min(width, 2u);
        Bytes raw = random_bytes(uint64_t{width} << 16, 5);
        for (uint32_t i = 0; i < 1 << 16; i++) std::memcpy(&raw[i * width + at], &i, some);
        check(row, j, base, raw, reference_keys(row.fields, j, base, raw.data(), 1 << 16), 1 << 16);
        if (HasFatalFailure()) return;
      }
}

// A window, so that the upper plane says nothing, and one component outside of it, wherever it stands.
TEST_P(KeyKernelsTest, OneOutsideOfTheWindow) {
  for (const Row& row : kRows)
    for (uint32_t j = 0; j <= kMaxJoined; j++) {
      if (row.fields.exponent + j <= 8) continue;
      for (uint64_t at = 0; at < 200; at++) {
        Bytes raw = within(row.fields, j, 64, 200, 0);
        uint64_t x = uint64_t{at % 2 ? 64u : 64u + 256u} << (row.fields.mantissa - j);
        std::memcpy(&raw[at * row.fields.bytes], &x, row.fields.bytes);
        check(row, j, 64, raw, reference_keys(row.fields, j, 64, raw.data(), 200), 200);
        if (HasFatalFailure()) return;
      }
    }
}

INSTANTIATE_TEST_SUITE_P(Isa, KeyKernelsTest, testing::Values(Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& i) { return std::string(isa_name(i.param)); });

}  // namespace
}  // namespace mithril
