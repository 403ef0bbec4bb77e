#include "csrc/coder/bits_kernels.h"

#include <gtest/gtest.h>

#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

class BitsKernelsTest : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!isa_supported(GetParam())) GTEST_SKIP() << "this CPU lacks " << isa_name(GetParam());
  }

  // docs/format.md 6.5, bit by bit; memory of exactly the size on the heap, so that the sanitizer sees what is read
  // beyond it.
  void check(uint64_t groups, uint32_t bits, uint64_t shift) {
    Bytes symbols = random_bytes(8 * groups, groups + bits), packed(groups * bits);
    for (uint8_t& s : symbols) s = static_cast<uint8_t>(s & ((1 << bits) - 1));
    for (uint64_t i = 0; i < 8 * groups; i++)
      for (uint32_t k = 0; k < bits; k++)
        packed[(i * bits + k) / 8] |= static_cast<uint8_t>((symbols[i] >> k & 1) << (i * bits + k) % 8);
    symbols.shrink_to_fit(), packed.shrink_to_fit();
    Guarded narrow(groups * bits, shift), wide(8 * groups, shift + 1);
    const BitsKernels& kernels = bits_kernels(GetParam());
    kernels.pack(symbols.data(), groups, bits, narrow.data());
    kernels.unpack(packed.data(), groups, bits, wide.data());
    ASSERT_TRUE(narrow.intact() && wide.intact());
    ASSERT_TRUE(std::equal(packed.begin(), packed.end(), narrow.data()));
    ASSERT_TRUE(std::equal(symbols.begin(), symbols.end(), wide.data()));
  }
};

TEST_P(BitsKernelsTest, EqualTheTextOverAllTails) {
  for (uint32_t bits = 1; bits < 8; bits++)
    for (uint64_t groups = 0; groups <= 150; groups++) {
      SCOPED_TRACE(testing::Message() << groups << " groups of " << bits << " bits");
      check(groups, bits, groups % 64);
      if (HasFatalFailure()) return;
    }
}

TEST_P(BitsKernelsTest, ManyGroups) {
  for (uint32_t bits = 1; bits < 8; bits++)
    for (uint64_t groups : {511, 512, 2003, 20000}) check(groups, bits, bits);
}

INSTANTIATE_TEST_SUITE_P(Isa, BitsKernelsTest, testing::Values(Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& i) { return std::string(isa_name(i.param)); });

}  // namespace
}  // namespace mithril
