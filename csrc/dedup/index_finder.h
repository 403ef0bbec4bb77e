// Looks one text up in all parts of an index. Belongs to one thread.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "csrc/dedup/batch_sketches.h"
#include "csrc/dedup/deduplicate.h"
#include "csrc/dedup/index_file.h"
#include "csrc/dedup/similarity.h"

namespace mithril::dedup {

struct IndexMatch {
  uint32_t number;
  float similarity;
};

class IndexFinder {
 public:
  // `known`: the indexed texts by number, for an index that does not store them; null: not to be had.
  IndexFinder(const std::vector<Part>& parts, const Sketcher& sketcher, const DedupOptions& options,
              const Texts* known);

  // The first document whose text is the same; else the first near duplicate; kNone when there is none.
  IndexMatch first(std::string_view text, const BatchSketches& sketches, uint64_t i);

  // Appends all near duplicates, in the order of the index. Of the same bucket, and of the same text, at most
  // kMaxPerKey.
  void all(std::string_view text, const BatchSketches& sketches, uint64_t i, std::vector<IndexMatch>& matches);

  DedupStats stats;  // of what was compared so far

 private:
  void propose(const Part& part, const uint32_t* keys);
  bool compare(const Part& part, uint32_t number, std::string_view text, const uint8_t* digests, double* similarity);

  const std::vector<Part>& parts_;
  const Sketcher& sketcher_;
  const DedupOptions& options_;
  const Texts* known_;
  int least_agreement_;
  Comparer comparer_;
  bool set_ = false;  // whether comparer_ has the text
  std::vector<uint64_t> room_;
  std::vector<uint32_t> candidates_;
  std::string scratch_;
};

}  // namespace mithril::dedup
