// The transforms of docs/format.md 6.2 to 6.4 bit by bit, from the text alone: slow, and without the core.
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

// docs/format.md 6.4: the planes of float_keys.
inline std::vector<uint8_t> reference_key_bits(const Fields& f, uint32_t j, bool no_signs = false) {
  std::vector<uint8_t> bits;
  uint32_t rest = f.mantissa - j + 1;
  if (rest % 8) bits.push_back(static_cast<uint8_t>(rest % 8));
  bits.insert(bits.end(), rest / 8, 8);
  if (f.exponent + j > 8) bits.push_back(static_cast<uint8_t>(f.exponent + j - 8));
  bits.push_back(static_cast<uint8_t>(std::min(f.exponent + j, 8u)));
  bits[0] = static_cast<uint8_t>(bits[0] - no_signs);
  return bits;
}

inline std::vector<Bytes> reference_keys(const Fields& f, uint32_t j, uint32_t base, const uint8_t* raw, uint64_t n) {
  const uint32_t key_bits = f.exponent + j, rest_bytes = (f.mantissa - j + 1) / 8;
  const int64_t window = int64_t{1} << key_bits;
  const bool has_top = (f.mantissa - j + 1) % 8 != 0, has_high = key_bits > 8;
  std::vector<Bytes> planes(reference_key_bits(f, j).size());
  for (uint64_t i = 0; i < n; i++) {
    uint64_t x = 0;
    for (uint32_t k = 0; k < f.bytes; k++) x |= uint64_t{raw[i * f.bytes + k]} << 8 * k;
    uint64_t s = x >> (8 * f.bytes - 1), m = x & ((uint64_t{1} << f.mantissa) - 1);
    auto t = static_cast<int64_t>(x >> (f.mantissa - j) & ((uint64_t{1} << key_bits) - 1)), v = t;
    if (has_high) {
      int64_t u = ((t - 1 - base) % (window - 1) + window - 1) % (window - 1);
      v = t == 0 ? 255 : u < 255 ? u : u + 1;
    }
    uint64_t r = (s << (f.mantissa - j)) + m % (uint64_t{1} << (f.mantissa - j));
    size_t k = 0;
    if (has_top) planes[k++].push_back(static_cast<uint8_t>(r >> 8 * rest_bytes));
    for (uint32_t b = rest_bytes; b-- > 0;) planes[k++].push_back(static_cast<uint8_t>(r >> 8 * b));
    if (has_high) planes[k++].push_back(static_cast<uint8_t>(v / 256));
    planes[k++].push_back(static_cast<uint8_t>(v % 256));
  }
  return planes;
}

}  // namespace mithril
