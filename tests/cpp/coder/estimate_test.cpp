#include <gtest/gtest.h>

#include "csrc/coder/coder.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

uint64_t estimate(const Bytes& b) {
  Plane plane{b.data(), b.size(), 8};
  return estimate_bits(plane, count_bytes(plane));
}

TEST(Estimate, NoneForNothingOrConstant) {
  EXPECT_EQ(estimate({}), 0u);
  for (uint64_t n : {1, 64, 4096, 100000}) EXPECT_EQ(estimate(Bytes(n, 7)), 0u);
}

TEST(Estimate, NearTheEntropy) {
  constexpr uint64_t kN = 1 << 20;
  for (uint32_t bits = 1; bits <= 8; bits++) {
    Bytes bytes = random_bytes(kN, bits);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(b & ((1 << bits) - 1));
    double per_symbol = static_cast<double>(estimate(bytes)) / kN;
    EXPECT_NEAR(per_symbol, bits, 0.02) << bits;
  }
}

TEST(Estimate, NeverMoreThanTheBytes) {
  Bytes bytes = random_bytes(70000, 9);
  for (uint64_t n = 0; n < 70000; n += n < 300 ? 1 : 997) {
    Plane plane{bytes.data(), n, 8};
    EXPECT_LE(estimate_bits(plane, count_bytes(plane)), 8 * n) << n;
  }
}

}  // namespace
}  // namespace mithril
