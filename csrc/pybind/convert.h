// Small conversions that more than one binding needs.
#pragma once
#include <string>

#include "csrc/base/bytes.h"

namespace mithril {

// The 16 bytes as stored, in hexadecimal.
inline std::string hex(const Hash128& h) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (uint64_t word : {h.low, h.high})
    for (int i = 0; i < 8; i++, word >>= 8) text += kDigits[word >> 4 & 0xf], text += kDigits[word & 0xf];
  return text;
}

}  // namespace mithril
