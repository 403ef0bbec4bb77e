// Texts made of random words, some of them changed copies of earlier ones.
#pragma once
#include <string>
#include <vector>

#include "csrc/dedup/texts.h"
#include "tests/cpp/support/samples.h"

namespace mithril::dedup {

class ListedTexts : public Texts {
 public:
  explicit ListedTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  uint64_t count() const override { return texts_.size(); }
  std::string_view text(uint64_t i, std::string&) const override { return texts_[i]; }
  const std::vector<std::string>& list() const { return texts_; }
  ListedTexts part(size_t from, size_t to) const {
    return ListedTexts({texts_.begin() + static_cast<long>(from), texts_.begin() + static_cast<long>(to)});
  }

 private:
  std::vector<std::string> texts_;
};

inline std::string joined(const std::vector<uint64_t>& words) {
  std::string text;
  for (uint64_t w : words) text += "w" + std::to_string(w) + " ";
  return text;
}

// Every third text is an earlier one again, with up to four words changed; every tenth is one of `templates`, as it is.
inline ListedTexts made_texts(size_t count, uint64_t seed, size_t words = 60) {
  Random random(seed);
  std::vector<std::vector<uint64_t>> all;
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; i++) {
    std::vector<uint64_t> text(words);
    for (uint64_t& w : text) w = random.below(5000);
    if (i % 3 == 2) {
      text = all[random.below(all.size())];
      for (uint64_t changes = random.below(5); changes; changes--) text[random.below(words)] = random.below(5000);
    }
    if (i % 10 == 9)
      for (size_t k = 0; k < words; k++) text[k] = k + i % 20;
    all.push_back(text);
    texts.push_back(joined(text));
  }
  return ListedTexts(texts);
}

}  // namespace mithril::dedup
