#include "csrc/dedup/sketch_parameters.h"

namespace mithril::dedup {

void write_sketch_parameters(ByteBuilder& to, const TextRules& rules, const SketchShape& shape) {
  to.u32(kSketchVersion);
  to.u32(static_cast<uint32_t>(shape.permutations)), to.u32(static_cast<uint32_t>(shape.bands));
  to.u32(static_cast<uint32_t>(shape.rows)), to.u64(shape.seed), to.u32(static_cast<uint32_t>(rules.ngram_size));
  to.u8(static_cast<uint8_t>(rules.form)), to.u8(rules.fold_case), to.u8(rules.ignore_punctuation), to.u8(0);
}

static int read_number(ByteCursor& from, const char* field, int limit) {
  uint32_t value = from.u32(field);
  if (value == 0 || value > static_cast<uint32_t>(limit))
    from.fail(field, std::to_string(value) + " is not from 1 to " + std::to_string(limit));
  return static_cast<int>(value);
}

void read_sketch_parameters(ByteCursor& from, TextRules& rules, SketchShape& shape) {
  uint64_t start = from.position();
  uint32_t version = from.u32("sketch_version");
  if (version != kSketchVersion)
    from.unsupported("sketch_version", std::to_string(version) + " is not that of this library, " +
                                           std::to_string(kSketchVersion) + ": index the texts again");
  shape.permutations = read_number(from, "permutations", kMaxPermutations);
  shape.bands = read_number(from, "bands", kMaxPermutations);
  shape.rows = read_number(from, "rows", kMaxPermutations);
  shape.seed = from.u64("seed");
  rules.ngram_size = read_number(from, "ngram_size", kMaxNgramSize);
  rules.form = read_choice(from, "form", NormalForm::kNfkc);
  rules.fold_case = read_flag(from, "fold_case");
  rules.ignore_punctuation = read_flag(from, "ignore_punctuation");
  from.zeros(1, "reserved");
  try {
    check(rules), check(shape);
  } catch (const Error& e) {
    from.fail("permutations", std::string("and what follows cannot be: ") + e.what(), start + 4);
  }
}

bool read_flag(ByteCursor& from, const char* field) {
  uint8_t value = from.u8(field);
  if (value > 1) from.fail(field, std::to_string(value) + " is neither 0 nor 1");
  return value;
}

void write_f64(ByteBuilder& to, double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, 8);
  to.u64(bits);
}

double read_f64(ByteCursor& from, const char* field) {
  uint64_t bits = from.u64(field);
  double value;
  std::memcpy(&value, &bits, 8);
  return value;
}

}  // namespace mithril::dedup
