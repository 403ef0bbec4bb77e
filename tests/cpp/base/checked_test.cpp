#include "csrc/base/checked.h"

#include <gtest/gtest.h>

namespace mithril {
namespace {

constexpr uint64_t kMax = ~uint64_t{0};

TEST(Checked, AddAndMul) {
  EXPECT_EQ(checked_add(2, 3), 5u);
  EXPECT_EQ(checked_add(kMax, 0), kMax);
  EXPECT_EQ(checked_add(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_add(kMax, kMax), std::nullopt);
  EXPECT_EQ(checked_mul(0, kMax), 0u);
  EXPECT_EQ(checked_mul(kMax / 3, 3), kMax);
  EXPECT_EQ(checked_mul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
}

TEST(Checked, DivideAndAlign) {
  EXPECT_EQ(ceil_div(0, 7), 0u);
  EXPECT_EQ(ceil_div(7, 7), 1u);
  EXPECT_EQ(ceil_div(8, 7), 2u);
  EXPECT_EQ(ceil_div(kMax, 2), uint64_t{1} << 63);
  for (uint64_t x = 0; x < 300; x++) EXPECT_EQ(align64(x), ceil_div(x, 64) * 64);
}

}  // namespace
}  // namespace mithril
