// The whole job on texts that can be asked for again: exact duplicates, sketches, bands, verification, clusters.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "csrc/dedup/options.h"
#include "csrc/dedup/texts.h"

namespace mithril::dedup {

inline constexpr uint32_t kNone = 0xffffffff;

struct DedupStats {
  uint64_t documents = 0, bytes = 0, exact_duplicates = 0, empty = 0;
  uint64_t candidate_pairs = 0;  // agreed in a band
  uint64_t verified_pairs = 0;   // compared exactly
  uint64_t accepted_pairs = 0;
  uint64_t full_buckets = 0;  // times that a document was left out of one of its bands, as the bucket was full
};

struct DedupResult {
  // Of each document: kNone when it is kept, else the kept document that explains it (itself, for an empty text that is
  // removed).
  std::vector<uint32_t> removed_by;
  std::vector<float> similarity;  // of the two, 1 for exact duplicates; 0 where kept
  DedupStats stats;
};

// Called now and then from the calling thread with a stage ("match"), what is done of it and all of it; may throw to
// stop the job.
using Progress = std::function<void(const char* stage, uint64_t done, uint64_t total)>;

// `order`: the documents from the most to the least preferred, a permutation of 0 … count − 1; empty: as they lie.
DedupResult deduplicate(const Texts& texts, const DedupOptions& options, const std::vector<uint32_t>& order,
                        const Progress& progress);

}  // namespace mithril::dedup
