// Which texts are near duplicates of earlier ones, answered from bits alone (LSHBloom): a blocked Bloom filter for each
// band, whose keys are 64-bit hashes of the band's full minima.
//
// It never forgets, and says only yes or no: not which text, and nothing is verified. Texts are looked up and then
// inserted one after the other, in their order; a text that seems known is not inserted, so a chain of small changes is
// not followed. Methods may be called from several threads at once.
#pragma once
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "csrc/dedup/bloom_filter.h"
#include "csrc/dedup/sketcher.h"
#include "csrc/dedup/texts.h"
#include "csrc/dedup/zeroed_array.h"

namespace mithril::dedup {

struct BloomParameters {
  TextRules rules;
  SketchShape shape;
  uint64_t expected_documents = 0;    // at least 1
  double false_positive_rate = 1e-5;  // of a text against expected_documents unlike it: 10⁻⁹ to 0.5
};

class BloomIndex {
 public:
  // Filters of a rate of 1 − (1 − false_positive_rate)^(1 / bands) each.
  explicit BloomIndex(const BloomParameters& parameters, int threads);
  static std::unique_ptr<BloomIndex> load(const std::string& path, int threads);

  // Of each text: 1 when a band of it is known; kEmptyText when it has no words (such are never known).
  std::vector<uint8_t> query(const Texts& texts) const;
  // The same, inserting what is not known.
  std::vector<uint8_t> deduplicate(const Texts& texts);
  static constexpr uint8_t kEmptyText = 2;

  // What either knows. The parameters must be the same.
  void merge(const BloomIndex& other);
  void save(const std::string& path) const;  // appears whole or not at all

  const BloomParameters& parameters() const { return parameters_; }
  const BloomShape& filter() const { return filter_; }
  uint64_t documents() const;  // inserted so far
  uint64_t bytes() const { return words_.size() * 8; }
  double false_positive_rate() const;  // after what was inserted so far

 private:
  BloomIndex(const BloomParameters& parameters, const BloomShape& filter, int threads);
  std::vector<uint64_t> hashes_of(const Texts& texts, std::vector<uint8_t>& answers) const;
  uint64_t* block(uint64_t band, uint64_t number) {
    return &words_[(band * filter_.blocks + number) * kBloomBlockWords];
  }
  const uint64_t* block(uint64_t band, uint64_t number) const {
    return &words_[(band * filter_.blocks + number) * kBloomBlockWords];
  }
  void prefetch(const uint64_t* hashes) const;
  bool knows(const uint64_t* hashes) const;
  void insert(const uint64_t* hashes);

  BloomParameters parameters_;
  BloomShape filter_;
  int threads_;
  uint64_t bands_;
  Sketcher sketcher_;
  mutable std::shared_mutex mutex_;  // of what follows
  ZeroedArray<uint64_t> words_;      // of all filters, one after the other
  uint64_t documents_ = 0;
};

}  // namespace mithril::dedup
