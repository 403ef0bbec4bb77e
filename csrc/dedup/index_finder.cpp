#include "csrc/dedup/index_finder.h"

#include <algorithm>

namespace mithril::dedup {

IndexFinder::IndexFinder(const std::vector<Part>& parts, const Sketcher& sketcher, const DedupOptions& options,
                         const Texts* known)
    : parts_(parts),
      sketcher_(sketcher),
      options_(options),
      known_(known),
      least_agreement_(options.verify ? least_agreement(options) : 0),
      comparer_(sketcher.words()),
      room_(static_cast<size_t>(sketcher.shape().bands)) {}

// Adds to candidates_ the documents of a part that share a band with the text, in the order of the index.
void IndexFinder::propose(const Part& part, const uint32_t* keys) {
  part.segment->prefetch(keys);
  for (uint32_t band = 0; band < room_.size(); band++) {
    if (!room_[band]) continue;
    Segment::Run run = part.segment->find(band, keys[band]);
    run.count = std::min(run.count, room_[band]);
    room_[band] -= run.count;
    for (uint64_t k = 0; k < run.count; k++) candidates_.push_back(part.segment->number(band, run.entries + k));
  }
  std::sort(candidates_.begin(), candidates_.end());
  candidates_.erase(std::unique(candidates_.begin(), candidates_.end()), candidates_.end());
  stats.candidate_pairs += candidates_.size();
}

bool IndexFinder::compare(const Part& part, uint32_t number, std::string_view text, const uint8_t* digests,
                          double* similarity) {
  if (!options_.verify) {
    *similarity = sketcher_.estimate(digests, part.segment->digests(number));
    return *similarity >= options_.threshold;
  }
  if (sketcher_.agreement(digests, part.segment->digests(number)) < least_agreement_) return false;
  if (!set_) comparer_.set(text);
  set_ = true;
  stats.verified_pairs++;
  const Segment& segment = *part.segment;
  if (!segment.parameters().stores_texts)
    return comparer_.reaches(known_->text(part.first + number, scratch_), options_.measure, options_.threshold,
                             similarity);
  std::string_view other = segment.text(number);
  try {
    return comparer_.reaches(other, options_.measure, options_.threshold, similarity);
  } catch (const Error& e) {  // a damaged file
    segment.fail(
        kTextBytes,
        static_cast<uint64_t>(reinterpret_cast<const uint8_t*>(other.data()) - segment.section(kTextBytes).data),
        e.what());
  }
}

IndexMatch IndexFinder::first(std::string_view text, const BatchSketches& sketches, uint64_t i) {
  candidates_.clear();
  for (const Part& part : parts_) {
    part.segment->find(sketches.hashes[i], 1, candidates_);
    if (candidates_.empty()) continue;
    stats.exact_duplicates++;
    return {static_cast<uint32_t>(part.first + candidates_[0]), 1};
  }
  set_ = false;
  std::fill(room_.begin(), room_.end(), kMaxPerKey);
  for (const Part& part : parts_) {
    candidates_.clear();
    propose(part, sketches.keys_of(i));
    double similarity;
    for (uint32_t number : candidates_) {
      if (!compare(part, number, text, sketches.digests_of(i), &similarity)) continue;
      stats.accepted_pairs++;
      return {static_cast<uint32_t>(part.first + number), static_cast<float>(similarity)};
    }
  }
  return {kNone, 0};
}

void IndexFinder::all(std::string_view text, const BatchSketches& sketches, uint64_t i,
                      std::vector<IndexMatch>& matches) {
  set_ = false;
  std::fill(room_.begin(), room_.end(), kMaxPerKey);
  uint64_t same = kMaxPerKey;
  for (const Part& part : parts_) {
    candidates_.clear();
    part.segment->find(sketches.hashes[i], same, candidates_);
    same -= candidates_.size();
    propose(part, sketches.keys_of(i));
    double similarity;
    for (uint32_t number : candidates_)
      if (compare(part, number, text, sketches.digests_of(i), &similarity))
        matches.push_back({static_cast<uint32_t>(part.first + number), static_cast<float>(similarity)});
  }
  stats.accepted_pairs += matches.size();
}

}  // namespace mithril::dedup
