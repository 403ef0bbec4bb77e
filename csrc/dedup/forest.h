// Connected components: a forest whose roots are the first of their component.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace mithril::dedup {

class Forest {
 public:
  uint32_t size() const { return static_cast<uint32_t>(parents_.size()); }
  // A new component of one.
  void add() { parents_.push_back(size()); }

  uint32_t root(uint32_t i) const {
    while (parents_[i] != i) i = parents_[i];
    return i;
  }
  void join(uint32_t a, uint32_t b) {
    const uint32_t to = std::min(root(a), root(b));
    for (uint32_t i : {a, b})
      while (parents_[i] != to) {  // every step of the way leads to the root from now on
        const uint32_t next = parents_[i];
        parents_[i] = to;
        i = next;
      }
  }
  // Makes every parent a root.
  void flatten() {
    for (uint32_t i = 0; i < size(); i++) parents_[i] = parents_[parents_[i]];  // parents come before: they are done
  }

 private:
  std::vector<uint32_t> parents_;
};

}  // namespace mithril::dedup
