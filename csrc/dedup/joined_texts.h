// The texts of several sources, one after another, as one.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "csrc/dedup/texts.h"

namespace mithril::dedup {

class JoinedTexts : public Texts {
 public:
  explicit JoinedTexts(std::vector<std::shared_ptr<const Texts>> parts) : parts_(std::move(parts)) {
    for (const auto& part : parts_) starts_.push_back(starts_.back() + part->count());
  }
  uint64_t count() const override { return starts_.back(); }
  std::string_view text(uint64_t i, std::string& scratch) const override {
    auto part = static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), i) - starts_.begin()) - 1;
    return parts_[part]->text(i - starts_[part], scratch);
  }

 private:
  std::vector<std::shared_ptr<const Texts>> parts_;
  std::vector<uint64_t> starts_ = {0};  // the number of each part's first text, and of all
};

}  // namespace mithril::dedup
