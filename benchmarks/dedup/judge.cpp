// The exact judge: all pairs of documents whose sets of word n-grams reach a Jaccard similarity. Nothing is sampled or
// estimated, and nothing of mithril is used. Words come as numbers, equal words as equal numbers (judge.py makes them).
//
// N-grams are told apart by 64-bit hashes of their words' numbers; among the 4e7 of the largest corpus two different
// ones collide with a probability of 5e-5. Then they are numbered by rarity, and a document is its sorted numbers. Two
// sets that reach the threshold share one of the first few numbers of both (prefix filter: Chaudhuri et al., ICDE 2006;
// Bayardo et al., WWW 2007), so only those are compared. Thresholds come in thousandths and are compared in integers.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

namespace {

struct Place {
  uint64_t hash;
  uint32_t at;  // among the n-grams of all documents
};

struct Pair {
  int32_t a, b;
  double jaccard;
};

uint64_t mix(uint64_t h) {
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
  return h ^ h >> 32;
}

class Judge {
 public:
  Judge(const int32_t* words, const int64_t* offsets, int64_t count, int ngram) : starts_(count + 1) {
    std::vector<Place> places;
    std::vector<uint64_t> grams;
    for (int64_t i = 0; i < count; ++i) {
      cut(words + offsets[i], offsets[i + 1] - offsets[i], ngram, grams);
      for (uint64_t hash : grams) places.push_back({hash, static_cast<uint32_t>(places.size())});
      starts_[i + 1] = static_cast<int64_t>(places.size());
    }
    number(places);
    for (int64_t i = 0; i < count; ++i) std::sort(&sets_[starts_[i]], &sets_[starts_[i + 1]]);
    group();
  }

  const std::vector<int32_t>& groups() const { return groups_; }
  const std::vector<Pair>& pairs() const { return pairs_; }
  int64_t size(int32_t i) const { return starts_[i + 1] - starts_[i]; }

  int64_t shared(int32_t a, int32_t b) const {
    int64_t both = 0;
    for (int64_t i = starts_[a], j = starts_[b]; i < starts_[a + 1] && j < starts_[b + 1];) {
      both += sets_[i] == sets_[j];
      const bool first = sets_[i] <= sets_[j], second = sets_[j] <= sets_[i];
      i += first, j += second;
    }
    return both;
  }

  double jaccard(int32_t a, int32_t b) const {
    const int64_t both = shared(a, b), either = size(a) + size(b) - both;
    return either ? static_cast<double>(both) / static_cast<double>(either) : 0;
  }

  // All pairs of first documents of groups with a similarity of at least `threshold` thousandths.
  void join(int64_t threshold) {
    std::vector<int32_t> firsts;
    for (int32_t i = 0; i < static_cast<int32_t>(groups_.size()); ++i)
      if (groups_[i] == i && size(i)) firsts.push_back(i);
    std::stable_sort(firsts.begin(), firsts.end(), [&](int32_t a, int32_t b) { return size(a) < size(b); });
    std::vector<std::vector<int32_t>> holders(numbers_ - alone_);  // of a number, those that have it in their prefix
    std::vector<int32_t> met(groups_.size(), -1), candidates;
    pairs_.clear();
    for (int32_t b : firsts) {  // all before it are no larger
      candidates.clear();
      const int64_t prefix = size(b) - (threshold * size(b) + 999) / 1000 + 1;
      for (int64_t k = starts_[b]; k < starts_[b] + prefix; ++k) {
        if (sets_[k] < alone_) continue;
        std::vector<int32_t>& those = holders[sets_[k] - alone_];
        for (int32_t a : those)
          if (met[a] != b && size(a) * 1000 >= threshold * size(b)) met[a] = b, candidates.push_back(a);
        those.push_back(b);
      }
      for (int32_t a : candidates) {
        const int64_t both = shared(a, b), either = size(a) + size(b) - both;
        if (both * 1000 >= threshold * either) {
          pairs_.push_back({std::min(a, b), std::max(a, b), static_cast<double>(both) / static_cast<double>(either)});
        }
      }
    }
    std::sort(pairs_.begin(), pairs_.end(),
              [](const Pair& x, const Pair& y) { return x.a != y.a ? x.a < y.a : x.b < y.b; });
  }

 private:
  // Hashes of the different n-grams of a text; of all its words when they are fewer than n.
  static void cut(const int32_t* words, int64_t count, int ngram, std::vector<uint64_t>& grams) {
    grams.clear();
    const int64_t length = std::min<int64_t>(count, ngram);
    for (int64_t i = 0; length && i + length <= count; ++i) {
      uint64_t hash = static_cast<uint64_t>(length);
      for (int64_t k = i; k < i + length; ++k)
        hash = mix(hash * 0x9e3779b97f4a7c15 + static_cast<uint32_t>(words[k]) + 1);
      grams.push_back(hash);
    }
    std::sort(grams.begin(), grams.end());
    grams.erase(std::unique(grams.begin(), grams.end()), grams.end());
  }

  // Hashes become numbers, the rarest first; the first `alone_` numbers occur in one document only.
  void number(std::vector<Place>& places) {
    std::sort(places.begin(), places.end(), [](const Place& x, const Place& y) { return x.hash < y.hash; });
    std::vector<uint32_t> counts;  // of each different hash, in their order
    for (size_t i = 0; i < places.size(); ++i) {
      if (i == 0 || places[i].hash != places[i - 1].hash) counts.push_back(0);
      ++counts.back();
    }
    std::vector<uint32_t> order(counts.size()), ranks(counts.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t x, uint32_t y) { return counts[x] < counts[y]; });
    for (uint32_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = rank;
    numbers_ = static_cast<uint32_t>(counts.size());
    alone_ = static_cast<uint32_t>(std::count(counts.begin(), counts.end(), 1U));
    sets_.resize(places.size());
    uint32_t gram = 0;
    for (size_t i = 0; i < places.size(); ++i) {
      if (i && places[i].hash != places[i - 1].hash) ++gram;
      sets_[places[i].at] = ranks[gram];
    }
  }

  // groups_[i]: the first document with the same set, i itself for a set that is empty.
  void group() {
    const int32_t count = static_cast<int32_t>(starts_.size()) - 1;
    groups_.resize(count);
    std::iota(groups_.begin(), groups_.end(), 0);
    std::vector<int32_t> order = groups_;
    const auto bytes = [&](int32_t i) { return static_cast<size_t>(size(i)) * sizeof(uint32_t); };
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      if (size(a) != size(b)) return size(a) < size(b);
      const int c = std::memcmp(&sets_[starts_[a]], &sets_[starts_[b]], bytes(a));
      return c ? c < 0 : a < b;
    });
    for (int32_t k = 1; k < count; ++k) {
      const int32_t a = order[k - 1], b = order[k];
      const bool equal =
          size(a) && size(a) == size(b) && !std::memcmp(&sets_[starts_[a]], &sets_[starts_[b]], bytes(a));
      if (equal) groups_[b] = groups_[a];
    }
  }

  std::vector<int64_t> starts_;
  std::vector<uint32_t> sets_;
  std::vector<int32_t> groups_;
  std::vector<Pair> pairs_;
  uint32_t numbers_ = 0, alone_ = 0;
};

}  // namespace

extern "C" {

Judge* judge_new(const int32_t* words, const int64_t* offsets, int64_t count, int ngram) {
  return new Judge(words, offsets, count, ngram);
}

void judge_delete(Judge* judge) { delete judge; }

void judge_groups(const Judge* judge, int32_t* groups) {
  std::copy(judge->groups().begin(), judge->groups().end(), groups);
}

int64_t judge_join(Judge* judge, int64_t threshold) {
  judge->join(threshold);
  return static_cast<int64_t>(judge->pairs().size());
}

// What the last join found: two documents and their similarity each.
void judge_pairs(const Judge* judge, int32_t* documents, double* jaccards) {
  for (const Pair& pair : judge->pairs()) {
    *documents++ = pair.a;
    *documents++ = pair.b;
    *jaccards++ = pair.jaccard;
  }
}

void judge_jaccards(const Judge* judge, const int32_t* documents, int64_t count, double* jaccards) {
  for (int64_t i = 0; i < count; ++i) jaccards[i] = judge->jaccard(documents[2 * i], documents[2 * i + 1]);
}
}
