// Some hundreds of documents that are matched together, and the band keys of those among them that later ones are
// compared with.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "csrc/base/bytes.h"

namespace mithril::dedup {

inline constexpr uint32_t kBatch = 1024;

struct Batch {
  enum class State : uint8_t { kLive, kExactDuplicate, kEmpty, kKept };

  explicit Batch(int bands)
      : hashes(kBatch),
        documents(kBatch),
        equals(kBatch),
        states(kBatch),
        removed_by(kBatch),
        similarity(kBatch),
        keys(kBatch * static_cast<uint64_t>(bands)),
        held(keys.size()),
        edges(kBatch) {}

  uint32_t count = 0;
  std::vector<Hash128> hashes;
  std::vector<uint32_t> documents;
  std::vector<uint32_t> equals;  // the first document with the same text
  std::vector<State> states;
  std::vector<uint32_t> removed_by;          // entry of an earlier batch, or kNone
  std::vector<float> similarity;             // to it
  std::vector<uint32_t> keys;                // of each document, one a band
  std::vector<uint8_t> held;                 // documents that each of these keys holds already
  std::vector<std::vector<uint32_t>> edges;  // components: entries of earlier batches that each document is near
};

// Bands fall into groups, each of which is the work of one thread: bands group, group + kBandGroups, …
inline constexpr uint64_t kBandGroups = 4;

// Which documents of a batch have the same band key: of each, the one before it. Groups of bands are chained in
// parallel.
class BatchChains {
 public:
  explicit BatchChains(int bands)
      : bands_(static_cast<uint64_t>(bands)),
        links_(bands_ * kBatch),
        heads_(kBandGroups * kSlots),
        met_(kBandGroups * kBatch) {}

  // Chains the documents of the batch for which takes_part(place) holds.
  template <class TakesPart>
  void chain(uint64_t group, const Batch& batch, TakesPart takes_part) {
    uint16_t* heads = &heads_[group * kSlots];
    uint8_t* met = &met_[group * kBatch];
    std::fill_n(met, batch.count, uint8_t{0});
    for (uint64_t band = group; band < bands_; band += kBandGroups) {
      std::fill_n(heads, kSlots, uint16_t{0});
      const auto key = [&](uint32_t place) { return batch.keys[place * bands_ + band]; };
      for (uint32_t place = 0; place < batch.count; place++) {
        if (!takes_part(place)) continue;
        uint64_t i = (key(place) * 0x9e3779b1u) >> 20 & (kSlots - 1);
        while (heads[i] != 0 && key(heads[i] - 1u) != key(place)) i = (i + 1) & (kSlots - 1);
        links_[band * kBatch + place] = heads[i];
        met[place] |= heads[i] != 0;
        heads[i] = static_cast<uint16_t>(place + 1);
      }
    }
  }

  // Whether a document before this one has one of its keys.
  bool met(uint32_t place) const {
    uint8_t any = 0;
    for (uint64_t group = 0; group < kBandGroups; group++) any |= met_[group * kBatch + place];
    return any != 0;
  }

  // Calls take(place) for the documents before this one with its key, the latest first.
  template <class Take>
  void before(uint64_t band, uint32_t place, Take take) const {
    for (uint32_t p = links_[band * kBatch + place]; p; p = links_[band * kBatch + p - 1]) take(p - 1);
  }

 private:
  static constexpr uint64_t kSlots = 2 * kBatch;  // a power of two
  uint64_t bands_;
  std::vector<uint16_t> links_, heads_;  // a place and 1, so that 0 is none
  std::vector<uint8_t> met_;
};

}  // namespace mithril::dedup
