// The transforms of docs/format.md 6.2 and 6.3 bit by bit, from the text alone: slow, and without the core.
#pragma once
#include <vector>

#include "tests/cpp/support/samples.h"

namespace mithril {

struct Fields {
  uint32_t bytes, exponent, mantissa;  // of a component; exponent 0: byte planes
};

struct ReferencePlane {
  uint32_t bits;
  std::vector<uint32_t> source;  // bit k of a symbol is bit source[k] of the component
};

inline std::vector<ReferencePlane> reference_planes(const Fields& f) {
  std::vector<ReferencePlane> planes;
  auto add = [&](uint32_t low, uint32_t bits) {
    ReferencePlane p{bits, {}};
    for (uint32_t k = 0; k < bits; k++) p.source.push_back(low + k);
    planes.push_back(p);
  };
  if (f.exponent == 0) {
    for (uint32_t k = 0; k < f.bytes; k++) add(8 * k, 8);
    return planes;
  }
  uint32_t top = f.mantissa % 8;
  add(f.mantissa, std::min(f.exponent, 8u));
  if (f.exponent > 8) add(f.mantissa + 8, f.exponent - 8);
  add(f.mantissa - top, top + 1);
  planes.back().source[top] = 8 * f.bytes - 1;  // the sign, above the top bits of the mantissa
  for (uint32_t low = f.mantissa - top; low > 0; low -= 8) add(low - 8, 8);
  return planes;
}

inline std::vector<Bytes> reference_split(const Fields& f, const uint8_t* raw, uint64_t n) {
  std::vector<Bytes> planes;
  for (const ReferencePlane& p : reference_planes(f)) {
    Bytes plane(n);
    for (uint64_t i = 0; i < n; i++)
      for (uint32_t k = 0; k < p.bits; k++) {
        uint64_t bit = i * 8 * f.bytes + p.source[k];
        plane[i] = static_cast<uint8_t>(plane[i] | (raw[bit / 8] >> bit % 8 & 1) << k);
      }
    planes.push_back(std::move(plane));
  }
  return planes;
}

}  // namespace mithril
