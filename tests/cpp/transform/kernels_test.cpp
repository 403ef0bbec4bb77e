#include "csrc/transform/kernels.h"

#include <gtest/gtest.h>

#include "tests/cpp/transform/reference.h"

namespace mithril {
namespace {

struct Row {
  Layout layout;
  Fields fields;
};
constexpr Row kRows[] = {
    {Layout::kBytes2, {2, 0, 0}},    {Layout::kBytes4, {4, 0, 0}},   {Layout::kBytes8, {8, 0, 0}},
    {Layout::kBFloat16, {2, 8, 7}},  {Layout::kFloat16, {2, 5, 10}}, {Layout::kFloat32, {4, 8, 23}},
    {Layout::kFloat64, {8, 11, 52}}, {Layout::kFloat8E4, {1, 4, 3}}, {Layout::kFloat8E5, {1, 5, 2}}};
static_assert(std::size(kRows) == static_cast<size_t>(Layout::kCount));

constexpr uint64_t kBig = 20011;

class KernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam())) GTEST_SKIP() << "this CPU lacks " << isa_name(GetParam());
  }
};

void check(const Kernels& k, const Row& row, const Bytes& raw, const std::vector<Bytes>& expected, uint64_t n) {
  auto layout = static_cast<size_t>(row.layout);
  // Nothing is aligned, each plane differently so.
  std::vector<Guarded> planes;
  std::vector<uint8_t*> to;
  for (size_t p = 0; p < expected.size(); p++) planes.emplace_back(n, p + 1);
  for (Guarded& p : planes) to.push_back(p.data());
  Guarded copy(n * row.fields.bytes);
  std::copy_n(raw.data(), copy.size(), copy.data());
  k.split[layout](copy.data(), n, to.data());
  for (size_t p = 0; p < expected.size(); p++) {
    ASSERT_TRUE(planes[p].intact()) << "plane " << p;
    ASSERT_TRUE(std::equal(to[p], to[p] + n, expected[p].data())) << "plane " << p;
  }
  Guarded joined(n * row.fields.bytes, 3);
  k.join[layout](to.data(), n, joined.data());
  ASSERT_TRUE(joined.intact());
  ASSERT_TRUE(std::equal(joined.data(), joined.data() + joined.size(), raw.data()));
}

TEST_P(KernelsTest, EqualTheReferenceOverAllTails) {
  for (const Row& row : kRows) {
    Bytes raw = random_bytes(kBig * row.fields.bytes, 11);
    std::vector<Bytes> expected = reference_split(row.fields, raw.data(), kBig);
    for (uint64_t n = 0; n <= 257; n++) {
      SCOPED_TRACE(testing::Message() << "layout " << static_cast<int>(row.layout) << ", n " << n);
      check(kernels(GetParam()), row, raw, expected, n);
      if (HasFatalFailure()) return;
    }
    check(kernels(GetParam()), row, raw, expected, kBig);
  }
}

TEST_P(KernelsTest, EverySixteenBitPattern) {
  for (const Row& row : kRows) {
    if (row.fields.bytes > 2) continue;
    Bytes raw(row.fields.bytes << 16);
    for (uint32_t i = 0; i < 1 << 16; i++) std::memcpy(&raw[i * row.fields.bytes], &i, row.fields.bytes);
    check(kernels(GetParam()), row, raw, reference_split(row.fields, raw.data(), 1 << 16), 1 << 16);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, KernelsTest, testing::Values(Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& i) { return std::string(isa_name(i.param)); });

}  // namespace
}  // namespace mithril
