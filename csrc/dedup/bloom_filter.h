// A blocked Bloom filter: a key sets bits_per_key bits of one block of 512, so that a look-up costs one line of the
// cache.
#pragma once
#include <cstdint>

namespace mithril::dedup {

inline constexpr uint32_t kBloomBlockWords = 8;  // of 64 bits
inline constexpr uint32_t kMaxBitsPerKey = 32;

struct BloomShape {
  uint64_t blocks = 1;
  uint32_t bits_per_key = 1;
};

// The share of keys that were not inserted and yet seem so, after `inserted` keys: keys fall on the blocks at random,
// so a block has Poisson(inserted / blocks) of them, and i keys leave a bit unset with probability (1 − 1/512)^(i ·
// bits_per_key).
double bloom_rate(const BloomShape& shape, uint64_t inserted);

// The smallest shape with bloom_rate(shape, expected) <= rate, for rates of 10⁻¹² and more.
BloomShape bloom_shape_for(uint64_t expected, double rate);

// A key is a 64-bit hash.
struct BloomKey {
  uint64_t block = 0;
  uint64_t mask[kBloomBlockWords] = {};

  BloomKey(const BloomShape& shape, uint64_t hash) noexcept;
  bool in(const uint64_t* words) const noexcept {
    uint64_t missing = 0;
    for (uint32_t w = 0; w < kBloomBlockWords; w++) missing |= mask[w] & ~words[w];
    return missing == 0;
  }
  void add_to(uint64_t* words) const noexcept {
    for (uint32_t w = 0; w < kBloomBlockWords; w++) words[w] |= mask[w];
  }
};

inline uint64_t bloom_block(const BloomShape& shape, uint64_t hash) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(hash) * shape.blocks >> 64);
}

}  // namespace mithril::dedup
