// What counts as a word, a shingle, a near duplicate: the choices of the user, checked once.
#pragma once
#include <cstdint>

namespace mithril::dedup {

enum class NormalForm { kNone, kNfc, kNfkc };

struct TextRules {
  NormalForm form = NormalForm::kNfc;
  bool fold_case = true;
  bool ignore_punctuation = true;  // else each punctuation mark and symbol is a word
  int ngram_size = 5;              // words a shingle, 1 to kMaxNgramSize
};
inline constexpr int kMaxNgramSize = 64;

enum class Measure { kJaccard, kContainment };

// Band keys and digests of a document: how many permutations, and how they are banded.
struct SketchShape {
  int permutations = 128;  // even, 16 to kMaxPermutations
  int bands = 16;
  int rows = 8;  // bands × rows <= permutations
  uint64_t seed = 1;
};
inline constexpr int kMaxPermutations = 1024;

// Throw invalid_argument with the field, its value and its limits.
void check(const TextRules& rules);
void check(const SketchShape& shape);

// The shape with the most rows whose bands find a pair at the threshold with a probability of at least 0.99; for
// containment, one whose larger text has up to three times as many shingles.
SketchShape shape_for(double threshold, int permutations, uint64_t seed, Measure measure);
// 1 − (1 − similarity^rows)^bands.
double candidate_probability(const SketchShape& shape, double similarity);

}  // namespace mithril::dedup
