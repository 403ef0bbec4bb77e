// A batch of texts → a segment in memory.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "csrc/dedup/batch_sketches.h"
#include "csrc/dedup/segment.h"

namespace mithril::dedup {

// Ids of the batch's documents, of which one vector is in use.
struct BatchIds {
  std::vector<int64_t> numbers;
  std::vector<std::string> texts;
};

// `chosen`: positions in the batch of the texts to take, ascending, none of them without words; `ids` has one for each.
std::shared_ptr<Segment> make_segment(const IndexParameters& parameters, const Texts& texts,
                                      const BatchSketches& sketches, const std::vector<uint64_t>& chosen,
                                      const BatchIds& ids, int threads);

}  // namespace mithril::dedup
