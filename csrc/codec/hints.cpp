#include "csrc/codec/hints.h"

#include <algorithm>

namespace mithril {

namespace {

// Values in a set of at most `most`; more are not told apart.
class DistinctValues {
 public:
  explicit DistinctValues(uint32_t most) : most_(most) {}
  void add(uint64_t value) {
    uint32_t at = static_cast<uint32_t>(value * 0x9e3779b97f4a7c15 >> 56);
    while (count_ <= most_ && used_[at] && values_[at] != value) at = (at + 1) % 256;
    if (count_ > most_ || used_[at]) return;
    used_[at] = true, values_[at] = value, count_++;
  }
  bool few() const { return count_ <= most_; }
  uint64_t count() const { return count_; }

 private:
  uint32_t most_, count_ = 0;
  bool used_[256] = {};
  uint64_t values_[256];
};

}  // namespace

Hints look_at(const uint8_t* raw, uint64_t n, uint64_t width) {
  constexpr uint64_t kRuns = 8, kRun = 64, kFew = 32;
  Hints hints;
  if (n < kRuns * kRun) return hints;
  DistinctValues all(kFew);
  uint64_t zeros = 0, few_runs = 0;
  for (uint64_t r = 0; r < kRuns; r++) {
    DistinctValues run(kRun);
    uint64_t others = 0;
    const uint8_t* p = raw + (n - kRun) / (kRuns - 1) * r * width;
    for (uint64_t i = 0; i < kRun; i++) {
      uint64_t x = component_at(p, i, width);
      all.add(x);
      if (x << (64 - 8 * width + 1) != 0) run.add(x), others++;
    }
    zeros += kRun - others;
    few_runs += others >= kRun / 4 && run.count() * 2 <= others;
  }
  hints.sparse = zeros * 32 >= kRuns * kRun;
  hints.few_values = width > 1 && few_runs * 2 >= kRuns;
  hints.palette = width > 1 && all.few();
  return hints;
}

template <class T>
static bool repeats(const uint8_t* raw, uint64_t n) {
  constexpr uint64_t kReach = 32768 / sizeof(T), kTile = 256, kSame = 32;
  auto at = [&](uint64_t i) {
    T x;
    std::memcpy(&x, raw + i * sizeof(T), sizeof(T));
    return x;
  };
  if (n < 2 * kTile) return false;
  const T a = at(0), b = at(1), c = at(2);
  uint64_t limit = std::min(n / 2, kReach);
  for (uint64_t tile = 1; tile + kTile + 2 < limit; tile += kTile) {
    uint32_t found = 0;
    for (uint64_t i = 0; i < kTile; i++)
      found |= static_cast<uint32_t>(at(tile + i) == a) & static_cast<uint32_t>(at(tile + i + 1) == b) &
               static_cast<uint32_t>(at(tile + i + 2) == c);
    for (uint64_t i = 0; found && i < kTile; i++) {
      uint64_t distance = tile + i, same = 0;
      if (at(distance) != a || at(distance + 1) != b || at(distance + 2) != c) continue;
      for (uint64_t k = 0; k < 8; k++) {
        uint64_t p = (n - distance - kSame) / 8 * k;
        same += std::memcmp(raw + p * sizeof(T), raw + (p + distance) * sizeof(T), kSame * sizeof(T)) == 0;
      }
      if (same >= 4) return true;
    }
  }
  return false;
}

bool repeats(const uint8_t* raw, uint64_t n, uint64_t width) {
  switch (width) {
    case 1: return repeats<uint8_t>(raw, n);
    case 2: return repeats<uint16_t>(raw, n);
    case 4: return repeats<uint32_t>(raw, n);
    default: return repeats<uint64_t>(raw, n);
  }
}

}  // namespace mithril
