// Sketches of a batch of texts, made on several threads.
#pragma once
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/dedup/deduplicate.h"
#include "csrc/dedup/sketcher.h"
#include "csrc/dedup/texts.h"

namespace mithril::dedup {

struct BatchSketches {
  // Throws corrupt, with the number of the text, when one is not UTF-8. The stage of `progress` is "sketch".
  BatchSketches(const Texts& texts, const Sketcher& sketcher, int threads, const Progress& progress);

  const uint32_t* keys_of(uint64_t i) const { return &keys[i * bands]; }
  const uint8_t* digests_of(uint64_t i) const { return &digests[i * digest_bytes]; }

  uint64_t bands, digest_bytes;
  std::vector<uint32_t> keys;
  std::vector<uint8_t> digests;
  std::vector<Hash128> hashes;
  std::vector<uint8_t> empty;  // 1: the text has no words, and its keys and digests mean nothing
  std::vector<uint64_t> bytes;
};

}  // namespace mithril::dedup
