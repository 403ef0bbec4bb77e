// What a few components of a block of floats say of all of them, before anything is coded.
#pragma once
#include <cstdint>
#include <cstring>

namespace mithril {

// A component of 1, 2, 4 or 8 bytes; not by a memcpy of unknown size, which would be a call.
inline uint64_t component_at(const uint8_t* raw, uint64_t i, uint64_t width) {
  auto load = [&](auto x) -> uint64_t {
    std::memcpy(&x, raw + i * sizeof x, sizeof x);
    return x;
  };
  switch (width) {
    case 1: return raw[i];
    case 2: return load(uint16_t{});
    case 4: return load(uint32_t{});
    default: return load(uint64_t{});
  }
}

struct Hints {
  bool sparse = false;      // a 32nd or more of the components is zero, of any sign
  bool few_values = false;  // among neighbours that are not zero
  bool palette = false;     // in all of the block
};

Hints look_at(const uint8_t* raw, uint64_t n, uint64_t width);

// Whether the first components come again within 32 KiB, and what follows them likewise in most places.
bool repeats(const uint8_t* raw, uint64_t n, uint64_t width);

}  // namespace mithril
