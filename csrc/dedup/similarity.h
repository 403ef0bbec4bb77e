// Exact similarity of two texts as sets of shingles.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "csrc/dedup/rules.h"

namespace mithril::dedup {

// Sizes of the sets of shingles of two texts, and of what they share.
struct Overlap {
  uint64_t a = 0, b = 0, both = 0;
  double jaccard() const { return both ? static_cast<double>(both) / static_cast<double>(a + b - both) : 0; }
  double containment_of_a() const { return both ? static_cast<double>(both) / static_cast<double>(a) : 0; }
  double similarity_of_a(Measure measure) const {
    return measure == Measure::kJaccard ? jaccard() : containment_of_a();
  }
};

class Words;

// Compares one text with many; belongs to one thread. Empty texts share nothing, not even with themselves.
class Comparer {
 public:
  explicit Comparer(std::shared_ptr<const Words> words);  // which threads may share
  explicit Comparer(const TextRules& rules);
  ~Comparer();
  void set(std::string_view a);  // keeps what it needs of a, not a itself
  Overlap compare(std::string_view b);
  // Whether the similarity of a and b (or the share of a that is in b) reaches `threshold`; `similarity` is exact then,
  // and otherwise of what was read until that was known.
  bool reaches(std::string_view b, Measure measure, double threshold, double* similarity);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mithril::dedup
