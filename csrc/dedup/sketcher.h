// Text → sketch: band keys and digests of the minima, stateless. Sketch of text i: `bands` 32-bit keys, and
// permutations / 2 bytes of 4-bit digests, of which the low half belongs to the minimum, the high half to the maximum
// of one multiplier.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "csrc/dedup/rules.h"
#include "csrc/dedup/texts.h"

namespace mithril::dedup {

class Words;

class Sketcher {
 public:
  Sketcher(const TextRules& rules, const SketchShape& shape);
  ~Sketcher();

  const TextRules& rules() const { return rules_; }
  const std::shared_ptr<const Words>& words() const { return words_; }
  const SketchShape& shape() const { return shape_; }
  uint64_t digest_bytes() const { return static_cast<uint64_t>(shape_.permutations) / 2; }

  // Scratch memory of one thread; any Sketcher of the same rules may use it.
  struct Scratch;
  struct ScratchDeleter {
    void operator()(Scratch* scratch) const;
  };
  using ScratchPointer = std::unique_ptr<Scratch, ScratchDeleter>;
  ScratchPointer scratch() const;

  // keys: `bands` values; digests: digest_bytes(). False, and nothing written, when the text has no words.
  // Throws corrupt with the byte offset when the text is not UTF-8.
  bool sketch(std::string_view text, Scratch& scratch, uint32_t* keys, uint8_t* digests) const;

  // The full minima, `permutations` values, for callers who band them themselves: minima of the multipliers first, then
  // the complements of their maxima (so that smaller is rarer throughout). count > 0.
  void minima(const uint32_t* shingles, uint64_t count, uint32_t* values) const;
  // Of a text; false, and nothing written, when it has no words.
  bool minima(std::string_view text, Scratch& scratch, uint32_t* values) const;

  // Estimated Jaccard similarity of two documents from their digests; not below 0.
  double estimate(const uint8_t* a, const uint8_t* b) const;
  // Digests that agree.
  int agreement(const uint8_t* a, const uint8_t* b) const;

 private:
  void start(std::vector<uint32_t>& values) const;
  bool extremes(std::string_view text, Scratch& scratch) const;  // into scratch.values
  void copy_minima(const std::vector<uint32_t>& values, uint32_t* to) const;
  void finish(std::vector<uint32_t>& values, uint32_t* keys, uint8_t* digests) const;

  TextRules rules_;
  SketchShape shape_;
  std::shared_ptr<const Words> words_;
  size_t lanes_;  // multipliers, padded to whole vectors
  std::vector<uint32_t> multipliers_, coefficients_;
};

}  // namespace mithril::dedup
