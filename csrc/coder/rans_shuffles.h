// What the rans kernels of narrow registers share: for each mask of eight bytes the shuffle that packs them to the
// upper end, the one that spreads them from the lower, and how many they are.
#pragma once
#include <cstdint>

namespace mithril {

struct RansShuffles {
  alignas(64) uint8_t pack[256][8] = {}, spread[256][8] = {}, count[256] = {};
  constexpr RansShuffles() {
    for (int m = 0; m < 256; m++) {
      int n = 0;
      for (int i = 0; i < 8; i++) n += m >> i & 1;
      count[m] = static_cast<uint8_t>(n);
      for (int i = 0, k = 0; i < 8; i++) {
        pack[m][i] = spread[m][i] = 0x80;
        if (m >> i & 1) spread[m][i] = static_cast<uint8_t>(k++);
      }
      for (int i = 0, k = 8 - n; i < 8; i++)
        if (m >> i & 1) pack[m][k++] = static_cast<uint8_t>(i);
    }
  }
};
inline constexpr RansShuffles kRansShuffles;

}  // namespace mithril
