#include "csrc/dedup/rules.h"

#include <cmath>
#include <string>

#include "csrc/base/error.h"

namespace mithril::dedup {

namespace {

constexpr double kRecallAtThreshold = 0.99;
constexpr double kLargest = 3;  // shingles of the text that contains, for each of the contained

void check_range(const char* field, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    throw_invalid(std::string(field) + " " + std::to_string(value) + " is not within " + std::to_string(least) +
                  " to " + std::to_string(most));
}

void check_permutations(int permutations) {
  check_range("num_permutations", permutations, 16, kMaxPermutations);
  if (permutations % 2) throw_invalid("num_permutations " + std::to_string(permutations) + " is not even");
}

}  // namespace

void check(const TextRules& rules) { check_range("ngram_size", rules.ngram_size, 1, kMaxNgramSize); }

void check(const SketchShape& shape) {
  check_permutations(shape.permutations);
  check_range("num_bands", shape.bands, 1, shape.permutations);
  check_range("num_rows", shape.rows, 1, shape.permutations / shape.bands);
}

double candidate_probability(const SketchShape& shape, double similarity) {
  return 1 - std::pow(1 - std::pow(similarity, shape.rows), shape.bands);
}

SketchShape shape_for(double threshold, int permutations, uint64_t seed, Measure measure) {
  check_permutations(permutations);
  const double jaccard = measure == Measure::kJaccard ? threshold : threshold / (1 + kLargest - threshold);
  SketchShape shape{permutations, permutations, 1, seed};
  for (int rows = 1; rows <= permutations; rows++) {
    const SketchShape next{permutations, permutations / rows, rows, seed};
    if (candidate_probability(next, jaccard) >= kRecallAtThreshold) shape = next;
  }
  return shape;
}

}  // namespace mithril::dedup
