// Some hundreds of documents that are matched together, and the band keys of those among them that later ones are
// compared with.
#pragma once
#include <cstdint>
#include <vector>

#include "csrc/base/bytes.h"

namespace mithril::dedup {

inline constexpr uint32_t kBatch = 1024;

struct Batch {
  enum class State : uint8_t { kLive, kExactDuplicate, kEmpty };

  Batch(int bands, uint64_t digest_bytes)
      : hashes(kBatch),
        documents(kBatch),
        states(kBatch),
        removed_by(kBatch),
        similarity(kBatch),
        keys(kBatch * static_cast<uint64_t>(bands)),
        held(keys.size()),
        digests(kBatch * digest_bytes),
        edges(kBatch) {}

  uint32_t count = 0;
  std::vector<Hash128> hashes;
  std::vector<uint32_t> documents;
  std::vector<State> states;
  std::vector<uint32_t> removed_by;  // entry of an earlier batch, or kNone
  std::vector<float> similarity;     // to it
  std::vector<uint32_t> keys;        // of each document, one a band
  std::vector<uint8_t> held;         // documents that each of these keys holds already
  std::vector<uint8_t> digests;
  std::vector<std::vector<uint32_t>> edges;  // components: entries of earlier batches that each document is near
};

// Band key → documents of this batch, by their place in it.
class BatchTable {
 public:
  explicit BatchTable(int bands)
      : bands_(static_cast<uint64_t>(bands)),
        heads_(bands_ * kSlots),
        links_(bands_ * kBatch),
        counts_(bands_ * kBatch) {}

  void clear() { std::fill(heads_.begin(), heads_.end(), uint16_t{0}); }

  // How many documents are under `key` of `band`; take(place) is called for each, the latest first.
  template <class Take>
  uint32_t find(uint64_t band, const uint32_t* keys, uint32_t key, Take take) const {
    uint32_t place = heads_[slot(band, keys, key)];
    const uint32_t count = place ? counts_[band * kBatch + place - 1] : 0;
    for (; place; place = links_[band * kBatch + place - 1]) take(place - 1);
    return count;
  }

  // `keys` are those of the batch, `bands` a document.
  void insert(uint64_t band, const uint32_t* keys, uint32_t place) {
    uint16_t& head = heads_[slot(band, keys, keys[place * bands_ + band])];
    links_[band * kBatch + place] = head;
    counts_[band * kBatch + place] = static_cast<uint16_t>(head ? counts_[band * kBatch + head - 1] + 1 : 1);
    head = static_cast<uint16_t>(place + 1);
  }

 private:
  static constexpr uint64_t kSlots = 2 * kBatch;  // a power of two
  uint64_t slot(uint64_t band, const uint32_t* keys, uint32_t key) const {
    uint64_t i = (key * 0x9e3779b1u) >> 20 & (kSlots - 1);
    for (;; i = (i + 1) & (kSlots - 1)) {
      const uint16_t head = heads_[band * kSlots + i];
      if (head == 0 || keys[(head - 1u) * bands_ + band] == key) return band * kSlots + i;
    }
  }

  uint64_t bands_;
  std::vector<uint16_t> heads_, links_, counts_;  // heads and links: a place and 1, so that 0 is none
};

}  // namespace mithril::dedup
