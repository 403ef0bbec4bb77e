// Test data: the same on every run and machine.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "csrc/base/dtype.h"

namespace mithril {

using Bytes = std::vector<uint8_t>;

class Random {  // splitmix64
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  }
  uint64_t below(uint64_t n) { return next() % n; }

 private:
  uint64_t state_;
};

inline Bytes random_bytes(uint64_t n, uint64_t seed) {
  Random random(seed);
  Bytes bytes(n);
  for (uint64_t i = 0; i < n; i += 8) {
    uint64_t x = random.next();
    std::memcpy(&bytes[i], &x, std::min<uint64_t>(8, n - i));
  }
  return bytes;
}

// What the components of a tensor look like. Dtypes without exponent take integers of a like spread. kMixed takes turns
// among those before it.
enum class Pattern {
  kZeros,
  kConstant,
  kRandom,
  kGaussian,
  kNan,
  kDenormal,
  kCounter,
  kMixed,
  kHalfZero,
  kSignedZeros,
  kZeroRows,
  kFewValues,
  kRepeated,
  kNarrow
};
inline constexpr Pattern kPatterns[] = {
    Pattern::kZeros,    Pattern::kConstant,  Pattern::kRandom,   Pattern::kGaussian, Pattern::kNan,
    Pattern::kDenormal, Pattern::kCounter,   Pattern::kMixed,    Pattern::kHalfZero, Pattern::kSignedZeros,
    Pattern::kZeroRows, Pattern::kFewValues, Pattern::kRepeated, Pattern::kNarrow};

inline uint64_t component(const DTypeInfo& d, Pattern pattern, uint64_t i, Random& random) {
  uint32_t e = d.exponent_bits, m = d.mantissa_bits;
  uint64_t r = random.next(), mantissa = e ? r & ((uint64_t{1} << m) - 1) : r & 0xff, sign = r >> 63;
  auto field = [&](uint64_t exponent) { return e ? sign << (e + m) | exponent << m | mantissa : mantissa; };
  switch (pattern) {
    case Pattern::kZeros: return 0;
    case Pattern::kConstant: return 0x3fc1a2b3c4d5e6f7;
    case Pattern::kRandom: return r;
    case Pattern::kGaussian: {  // exponents fall off from that of 1.0
      uint64_t bias = e ? (uint64_t{1} << (e - 1)) - 1 : 0;
      return field(bias - std::min<uint64_t>(bias, __builtin_ctzll(random.next() | uint64_t{1} << 63)));
    }
    case Pattern::kNan: return e ? field((uint64_t{1} << e) - 1) : ~uint64_t{0};
    case Pattern::kDenormal: return field(0);
    case Pattern::kCounter: return i;
    case Pattern::kMixed: return component(d, kPatterns[i / 64 % 7], i, random);
    case Pattern::kHalfZero: return r >> 32 & 1 ? component(d, Pattern::kGaussian, i, random) : 0;
    case Pattern::kSignedZeros:  // three in four of them
      return r >> 32 & 3 ? (r >> 34 & 1) << (8 * d.component_bytes - 1) : component(d, Pattern::kGaussian, i, random);
    case Pattern::kZeroRows: return i / 500 % 3 ? component(d, Pattern::kGaussian, i, random) : 0;
    case Pattern::kFewValues:
    case Pattern::kRepeated: {  // 20 values in any order; a row of 1000 again and again
      Random of_value(1 + (pattern == Pattern::kRepeated ? i % 1000 : r % 20));
      return component(d, Pattern::kGaussian, i, of_value);
    }
    case Pattern::kNarrow:  // a wider type than the values need: the lower bits are zero
      return component(d, Pattern::kGaussian, i, random) >> 4 * d.component_bytes << 4 * d.component_bytes;
  }
  return 0;
}

inline Bytes sample(const DTypeInfo& dtype, Pattern pattern, uint64_t elements, uint64_t seed = 1) {
  Random random(seed);
  Bytes bytes(elements * dtype.element_bytes);
  for (uint64_t i = 0; i < bytes.size(); i += dtype.component_bytes) {
    uint64_t x = component(dtype, pattern, i / dtype.component_bytes, random);
    std::memcpy(&bytes[i], &x, dtype.component_bytes);
  }
  return bytes;
}

// `size` bytes at an odd address, between guard bytes that nobody may change.
class Guarded {
 public:
  explicit Guarded(uint64_t size, uint64_t shift = 1) : bytes_(size + 2 * kGuard + shift, kFill), shift_(shift) {}
  uint8_t* data() { return bytes_.data() + kGuard + shift_; }
  uint64_t size() const { return bytes_.size() - 2 * kGuard - shift_; }
  bool intact() const {
    auto is_fill = [](uint8_t b) { return b == kFill; };
    return std::all_of(bytes_.begin(), bytes_.begin() + kGuard + shift_, is_fill) &&
           std::all_of(bytes_.end() - kGuard, bytes_.end(), is_fill);
  }

 private:
  static constexpr uint64_t kGuard = 128;
  static constexpr uint8_t kFill = 0xa5;
  Bytes bytes_;
  uint64_t shift_;
};

}  // namespace mithril
