// What decides how texts become sketches, as the first 32 bytes of the parameters in files of indexes and Bloom
// indexes.
#pragma once
#include "csrc/base/bytes.h"
#include "csrc/dedup/rules.h"

namespace mithril::dedup {

// To be raised with any change of words, hashes or permutations: what was indexed before would not be found again.
inline constexpr uint32_t kSketchVersion = 1;

void write_sketch_parameters(ByteBuilder& to, const TextRules& rules, const SketchShape& shape);
// Throws corrupt, or unsupported for another sketch version.
void read_sketch_parameters(ByteCursor& from, TextRules& rules, SketchShape& shape);

// One byte.
bool read_flag(ByteCursor& from, const char* field);
template <class Enum>
Enum read_choice(ByteCursor& from, const char* field, Enum last) {
  uint8_t value = from.u8(field);
  if (value > static_cast<uint8_t>(last)) from.unsupported(field, std::to_string(value) + " is not known");
  return static_cast<Enum>(value);
}

// The bits of a double.
void write_f64(ByteBuilder& to, double value);
double read_f64(ByteCursor& from, const char* field);

}  // namespace mithril::dedup
