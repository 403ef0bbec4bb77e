#include "csrc/dedup/bloom_filter.h"

#include <algorithm>
#include <cmath>

namespace mithril::dedup {

static constexpr double kBlockBits = 64 * kBloomBlockWords;

// The rate when blocks have `load` keys on average.
static double rate_at(double load, uint32_t bits_per_key) {
  double sum = 0, deviation = std::sqrt(load);
  auto first = static_cast<uint64_t>(std::max(0.0, load - 10 * deviation));
  auto last = static_cast<uint64_t>(load + 14 * deviation + 30);
  for (uint64_t i = first; i <= last; i++) {
    auto keys = static_cast<double>(i);
    double share = std::exp(keys * std::log(load) - load - std::lgamma(keys + 1));
    double set = -std::expm1(keys * bits_per_key * std::log1p(-1 / kBlockBits));
    sum += share * std::pow(set, bits_per_key);
  }
  return std::min(sum, 1.0);
}

double bloom_rate(const BloomShape& shape, uint64_t inserted) {
  if (inserted == 0) return 0;
  double load = static_cast<double>(inserted) / static_cast<double>(shape.blocks);
  return load > 4 * kBlockBits ? 1 : rate_at(load, shape.bits_per_key);  // then all bits are set
}

// The most keys a block with which the rate is kept.
static double load_for(double rate, uint32_t bits_per_key) {
  double low = 1e-9, high = kBlockBits;
  for (int step = 0; step < 60; step++) {
    double middle = (low + high) / 2;
    (rate_at(middle, bits_per_key) <= rate ? low : high) = middle;
  }
  return low;
}

BloomShape bloom_shape_for(uint64_t expected, double rate) {
  double best = 0;
  BloomShape shape;
  for (uint32_t bits = 1; bits <= kMaxBitsPerKey; bits++) {
    double load = load_for(rate, bits);
    if (load > best) best = load, shape.bits_per_key = bits;
  }
  shape.blocks = static_cast<uint64_t>(std::ceil(static_cast<double>(expected) / best)) + 1;
  return shape;
}

BloomKey::BloomKey(const BloomShape& shape, uint64_t hash) noexcept : block(bloom_block(shape, hash)) {
  uint64_t bits = 0;
  for (uint32_t k = 0; k < shape.bits_per_key; k++, bits >>= 9) {
    if (k % 7 == 0) {  // nine bits each of 64; SplitMix64
      hash += 0x9e3779b97f4a7c15u;
      bits = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
      bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
      bits ^= bits >> 31;
    }
    mask[bits >> 6 & 7] |= uint64_t{1} << (bits & 63);
  }
}

}  // namespace mithril::dedup
