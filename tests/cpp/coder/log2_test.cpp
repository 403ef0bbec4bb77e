#include "csrc/coder/log2.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

void expect_near(uint64_t x) {
  EXPECT_NEAR(log2_q16(x) / 65536.0, std::log2(static_cast<double>(x)), 2.5 / 65536) << x;
}

TEST(Log2, NearTheRealOne) {
  for (uint64_t x = 1; x < 5000; x++) expect_near(x);
  Random random(1);
  for (int i = 0; i < 20000; i++) expect_near(1 | random.next() >> random.below(64));
  expect_near(~uint64_t{0});
}

TEST(Log2, PowersOfTwoAreExact) {
  for (uint32_t k = 0; k < 64; k++) EXPECT_EQ(log2_q16(uint64_t{1} << k), k << 16);
}

TEST(Log2, NeverFalls) {
  for (uint64_t x = 1; x < 300000; x++) ASSERT_LE(log2_q16(x), log2_q16(x + 1)) << x;
  for (uint32_t k = 20; k < 64; k++)
    for (uint64_t d = 1; d < 100; d++)
      ASSERT_LE(log2_q16((uint64_t{1} << k) - d), log2_q16((uint64_t{1} << k) - d + 1));
}

}  // namespace
}  // namespace mithril
