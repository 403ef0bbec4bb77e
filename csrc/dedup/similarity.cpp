#include "csrc/dedup/similarity.h"

#include <algorithm>
#include <memory>

#include "csrc/dedup/words.h"

namespace mithril::dedup {

namespace {

constexpr uint64_t kBase = 0xa24baed4963ee407u;  // of the polynomial that a shingle is: odd

uint64_t mix(uint64_t h) {
  h ^= h >> 32, h *= 0xd6e8feb86659fd93u;
  h ^= h >> 32;
  return h + (h == 0);
}

constexpr size_t kFewDiffer = 64;  // shingles that a set has room for from the start

// A set of hashes, none of them 0, that is emptied often.
class HashSet {
 public:
  void clear(size_t expected) {
    size_t size = 16;
    while (3 * size < 4 * expected) size *= 2;
    shift_ = 64 - __builtin_ctzll(size);
    if (slots_.size() < size) slots_.resize(size);
    std::fill_n(slots_.begin(), size, uint64_t{0});
    mask_ = size - 1, count_ = 0;
  }
  // Whether it is new.
  bool add(uint64_t hash) {
    uint64_t& slot = slots_[place(hash)];
    if (slot == hash) return false;
    slot = hash;
    if (4 * ++count_ > 3 * mask_) widen();
    return true;
  }
  // Where `hash` stands, or where it would.
  size_t place(uint64_t hash) const {
    size_t i = hash * 0x9e3779b97f4a7c15u >> shift_;
    while (slots_[i] != 0 && slots_[i] != hash) i = (i + 1) & mask_;
    return i;
  }
  bool holds(size_t place) const { return slots_[place] != 0; }
  uint64_t count() const { return count_; }
  size_t slots() const { return mask_ + 1; }

 private:
  void widen() {
    std::vector<uint64_t> old(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(mask_ + 1));
    clear(old.size());
    for (uint64_t hash : old)
      if (hash != 0) slots_[place(hash)] = hash, count_++;
  }

  std::vector<uint64_t> slots_;
  size_t mask_ = 0;
  int shift_ = 64;
  uint64_t count_ = 0;
};

}  // namespace

struct Comparer::State {
  explicit State(std::shared_ptr<const Words> shared)
      : words(std::move(shared)),
        n(static_cast<size_t>(words->rules().ngram_size)),
        words_a_byte(words->rules().form == NormalForm::kNfkc ? 2 : 1) {
    for (size_t i = 1; i < n; i++) power *= kBase;
  }

  std::shared_ptr<const Words> words;
  Words::Scratch scratch;
  size_t n;
  // At most: the compatibility form of U+3316, of three bytes, is six characters that are words by themselves.
  uint64_t words_a_byte;
  uint64_t power = 1;  // kBase to the n − 1
  Row<uint64_t> hashes;
  HashSet a, only_b;
  std::vector<uint8_t> seen;  // of each slot of `a`: whether b has it

  // Calls take(shingle, left) for the shingles in the order of the text, repeated ones too, until it says false; no
  // more than `left` follow.
  template <class Take>
  void each_shingle(std::string_view text, Take take) {
    hashes.clear();
    bool any = false;
    for (uint64_t position = 0; position < text.size();) {
      words->read(text, position, scratch, hashes);
      if (hashes.size() < n) continue;
      const uint64_t* w = hashes.data();
      const size_t count = hashes.size() - (n - 1);
      uint64_t h = 0;
      for (size_t i = 0; i + 1 < n; i++) h = h * kBase + w[i];
      for (size_t i = 0; i < count; i++) {
        h = h * kBase + w[i + n - 1];
        if (!take(mix(h), count - i - 1 + words_a_byte * (text.size() - position))) return;
        h -= w[i] * power;
      }
      hashes.keep_last(n - 1);
      any = true;
    }
    if (any || hashes.size() == 0) return;
    uint64_t h = hashes.size();  // fewer than n words are another kind of shingle
    for (size_t i = 0; i < hashes.size(); i++) h = h * kBase + hashes[i];
    take(mix(h), 0);
  }

  // As long as go_on(shared, only in b, left) holds.
  template <class GoOn>
  Overlap overlap(std::string_view b, GoOn go_on) {
    seen.assign(a.slots(), 0);
    only_b.clear(kFewDiffer);
    Overlap o{a.count(), 0, 0};
    each_shingle(b, [&](uint64_t shingle, uint64_t left) {
      const size_t place = a.place(shingle);
      if (!a.holds(place))
        only_b.add(shingle);
      else if (!seen[place])
        seen[place] = 1, o.both++;
      return go_on(o.both, only_b.count(), left);
    });
    o.b = o.both + only_b.count();
    return o;
  }
};

Comparer::Comparer(std::shared_ptr<const Words> words) : state_(std::make_unique<State>(std::move(words))) {}
Comparer::Comparer(const TextRules& rules) : Comparer(std::make_shared<const Words>(rules)) {}
Comparer::~Comparer() = default;

void Comparer::set(std::string_view a) {
  // About as many shingles as words; of a long text, which may repeat itself, as many as it turns out to have.
  state_->a.clear(std::min<size_t>(a.size() / 7 + 1, 1 << 16));
  state_->each_shingle(a, [&](uint64_t shingle, uint64_t) { return state_->a.add(shingle), true; });
}

Overlap Comparer::compare(std::string_view b) {
  return state_->overlap(b, [](uint64_t, uint64_t, uint64_t) { return true; });
}

bool Comparer::reaches(std::string_view b, Measure measure, double threshold, double* similarity) {
  const auto size_of_a = static_cast<double>(state_->a.count());
  const bool jaccard = measure == Measure::kJaccard;
  // What is left can at best be shared, all of it; the slack keeps rounding from deciding.
  const Overlap o = state_->overlap(b, [=](uint64_t both, uint64_t only_b, uint64_t left) {
    const double of = jaccard ? size_of_a + static_cast<double>(only_b) : size_of_a;
    return static_cast<double>(both + left) + 1e-3 >= threshold * of &&
           (!jaccard || size_of_a + 1e-3 >= threshold * of);
  });
  *similarity = o.similarity_of_a(measure);
  return *similarity >= threshold;
}

}  // namespace mithril::dedup
