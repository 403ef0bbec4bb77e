#include "csrc/dedup/deduplicate.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <numeric>

#include "csrc/base/checksum.h"
#include "csrc/base/error.h"
#include "csrc/base/object_pool.h"
#include "csrc/base/parallel.h"
#include "csrc/dedup/band_table.h"
#include "csrc/dedup/batch.h"
#include "csrc/dedup/exact_table.h"
#include "csrc/dedup/forest.h"
#include "csrc/dedup/similarity.h"
#include "csrc/dedup/sketcher.h"

namespace mithril::dedup {

namespace {

constexpr uint32_t kTask = 64;  // documents that one thread takes at a time
constexpr uint32_t kAhead = 8;  // documents whose slots are fetched before they are looked at

bool is_permutation(const std::vector<uint32_t>& order, uint64_t count) {
  if (order.empty()) return true;
  std::vector<bool> named(count);
  for (uint32_t i : order) {
    if (i >= count || named[i]) return false;
    named[i] = true;
  }
  return order.size() == count;
}

// Memory of one thread.
struct Worker {
  explicit Worker(const Sketcher& sketcher) : sketch(sketcher.scratch()), comparer(sketcher.words()) {}
  Sketcher::ScratchPointer sketch;
  Comparer comparer;
  std::string text_a, text_b;
  std::vector<uint32_t> candidates, ends;  // of a task's documents, one after another
};

struct Counts {
  std::atomic<uint64_t> bytes{0}, candidates{0}, verified{0}, accepted{0}, full_buckets{0};
};

class Job {
 public:
  Job(const Texts& texts, const DedupOptions& options, const std::vector<uint32_t>& order)
      : texts_(texts),
        options_(options),
        order_(order),
        sketcher_(options.rules, options.shape),
        bands_(static_cast<uint64_t>(options.shape.bands)),
        digest_bytes_(sketcher_.digest_bytes()),
        least_agreement_(least_agreement(options)),
        exact_(texts.count()),
        tables_(bands_, texts.count()),
        digests_(texts.count() * digest_bytes_),
        batch_(options.shape.bands),
        chains_(options.shape.bands) {
    const uint64_t n = texts.count();
    exact_.populate(options.threads), tables_.populate(options.threads);
    result_.removed_by.assign(n, kNone);
    result_.similarity.assign(n, 0);
    empty_.resize(n);
    entries_.reserve(n);
  }

  DedupResult run(const Progress& progress) {
    const uint64_t n = texts_.count();
    for (uint64_t done = 0; done < n; done += batch_.count) {
      batch_.count = static_cast<uint32_t>(std::min<uint64_t>(kBatch, n - done));
      first_entry_ = entries_.size();
      for (uint32_t i = 0; i < batch_.count; i++)
        batch_.documents[i] = order_.empty() ? static_cast<uint32_t>(done + i) : order_[done + i];
      match_batch();
      if (progress) progress("match", done + batch_.count, n);
    }
    if (options_.clusters == Clusters::kComponents) name_components();
    settle_exact_duplicates();
    DedupStats& stats = result_.stats;
    stats.documents = n, stats.bytes = counts_.bytes;
    stats.candidate_pairs = counts_.candidates, stats.verified_pairs = counts_.verified;
    stats.accepted_pairs = counts_.accepted, stats.full_buckets = counts_.full_buckets;
    return std::move(result_);
  }

 private:
  bool star() const { return options_.clusters == Clusters::kStar; }
  const uint32_t* keys(uint32_t place) const { return &batch_.keys[place * bands_]; }
  uint8_t* digests_of(uint64_t entry) { return &digests_[entry * digest_bytes_]; }
  // Of a document of the batch, until match_within has passed it: where they stand if all before it stay.
  uint8_t* digests(uint32_t place) { return digests_of(first_entry_ + place); }

  std::string_view text(uint32_t document, std::string& scratch) const { return texts_.text(document, scratch); }

  std::shared_ptr<Worker> take_worker() {
    return workers_.take([this] { return std::make_unique<Worker>(sketcher_); });
  }

  // body(first, last, worker) for pieces of the batch, in parallel.
  template <class Body>
  void each_task(Body body) {
    parallel_for((batch_.count + kTask - 1) / kTask, options_.threads, [&](size_t task) {
      const auto worker = take_worker();
      const auto first = static_cast<uint32_t>(task) * kTask;
      body(first, std::min(first + kTask, batch_.count), *worker);
    });
  }

  void match_batch() {
    each_task([this](uint32_t first, uint32_t last, Worker& worker) {
      sketch(first, last, worker);
      look_up(first, last, worker);
      match(first, last, worker);
    });
    meet();
    match_within();
    enter();
  }

  // Hashes each text, and sketches it unless an earlier batch had the same. Each is asked for once, and hashed one
  // ahead of the sketch, so that its slot is there when it is looked at.
  void sketch(uint32_t first, uint32_t last, Worker& worker) {
    uint64_t bytes = 0;
    std::string_view texts[2];
    std::string* const scratch[] = {&worker.text_a, &worker.text_b};
    for (uint32_t i = first; i <= last; i++) {
      if (i < last) {
        const std::string_view t = texts[i % 2] = text(batch_.documents[i], *scratch[i % 2]);
        batch_.hashes[i] = xxh3_128(t.data(), t.size());
        exact_.prefetch(batch_.hashes[i]);
        bytes += t.size();
      }
      if (i > first) sketch(i - 1, texts[(i - 1) % 2], worker);
    }
    counts_.bytes += bytes;
  }

  void sketch(uint32_t place, std::string_view text, Worker& worker) {
    uint32_t* keys = &batch_.keys[place * bands_];
    batch_.removed_by[place] = kNone;
    batch_.states[place] = Batch::State::kExactDuplicate;
    if (exact_.contains(batch_.hashes[place])) return;
    batch_.states[place] = Batch::State::kLive;
    try {
      if (!sketcher_.sketch(text, *worker.sketch, keys, digests(place))) batch_.states[place] = Batch::State::kEmpty;
    } catch (const Error& error) {
      throw Error(error.kind(), "document " + std::to_string(batch_.documents[place]) + ": " + error.what());
    }
    for (uint64_t b = 0; b < bands_; b++) tables_.prefetch(b, keys[b]);
  }

  // Gathers the entries that agree in a band with each document of the task.
  void look_up(uint32_t first, uint32_t last, Worker& worker) {
    std::vector<uint32_t>& all = worker.candidates;
    all.clear(), worker.ends.clear();
    for (uint32_t i = first; i < last; i++) {
      const size_t begin = all.size();
      if (batch_.states[i] == Batch::State::kLive)
        for (uint64_t b = 0; b < bands_; b++) {
          const size_t before = all.size();
          tables_.find(b, keys(i)[b], [&](uint32_t entry) {
            all.push_back(entry);
            __builtin_prefetch(digests_of(entry));
          });
          batch_.held[i * bands_ + b] = static_cast<uint8_t>(all.size() - before);
        }
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(begin);
      std::sort(from, all.end());
      all.erase(std::unique(from, all.end()), all.end());
      worker.ends.push_back(static_cast<uint32_t>(all.size()));
    }
    counts_.candidates += all.size();
  }

  void match(uint32_t first, uint32_t last, Worker& worker) {
    size_t at = 0;
    for (uint32_t i = first; i < last; i++) {
      const size_t end = worker.ends[i - first];
      batch_.edges[i].clear();
      bool set = false;
      for (; at < end; at++) {
        const uint32_t entry = worker.candidates[at];
        if (!star() && connected(batch_.edges[i], entry)) continue;
        if (!near(i, entry, set, worker, &batch_.similarity[i])) continue;
        if (star()) {
          batch_.removed_by[i] = entry;
          break;
        }
        batch_.edges[i].push_back(entry);
      }
      at = end;
    }
  }

  // Whether document `place` of the batch is near an entry; `set` says whether the worker's comparer holds it already.
  bool near(uint32_t place, uint32_t entry, bool& set, Worker& worker, float* similarity) {
    if (!options_.verify) {
      const double estimate = sketcher_.estimate(digests(place), digests_of(entry));
      *similarity = static_cast<float>(estimate);
      if (estimate < options_.threshold) return false;
    } else {
      if (sketcher_.agreement(digests(place), digests_of(entry)) < least_agreement_) return false;
      if (!set) worker.comparer.set(text(batch_.documents[place], worker.text_a)), set = true;
      counts_.verified.fetch_add(1, std::memory_order_relaxed);
      double exact;
      if (!worker.comparer.reaches(text(entries_[entry], worker.text_b), options_.measure, options_.threshold, &exact))
        return false;
      *similarity = static_cast<float>(exact);
    }
    counts_.accepted.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  // Finds, of the batch, which texts are the same, and which documents have a key in common.
  void meet() {
    parallel_for(kBandGroups + 1, options_.threads, [&](size_t group) {
      if (group == kBandGroups) {
        for (uint32_t i = 0; i < batch_.count; i++)
          batch_.equals[i] = exact_.add(batch_.hashes[i], batch_.documents[i]);
        return;
      }
      const auto takes_part = [&](uint32_t place) {
        return batch_.states[place] == Batch::State::kLive && batch_.removed_by[place] == kNone;
      };
      chains_.chain(group, batch_, takes_part);
    });
  }

  // In order: what becomes of each document, and for that each against those of its batch before it.
  void match_within() {
    const auto worker = take_worker();
    kept_.clear();
    for (uint32_t i = 0; i < batch_.count; i++) {
      const uint32_t document = batch_.documents[i];
      Batch::State& state = batch_.states[i];
      if (batch_.equals[i] != document) {
        state = Batch::State::kExactDuplicate;
        remove(document, batch_.equals[i], 1), result_.stats.exact_duplicates++;
      } else if (state == Batch::State::kEmpty) {
        empty_[document] = true, result_.stats.empty++;
        if (options_.empty == Empty::kRemove) result_.removed_by[document] = document;
      } else if (batch_.removed_by[i] != kNone) {
        remove(document, entries_[batch_.removed_by[i]], batch_.similarity[i]);
      } else if (!match_with(i, candidates_within(i, worker->candidates), *worker)) {
        keep(i);
      }
    }
  }

  // The kept documents of the batch before this one that stand under one of its keys. They count among those that the
  // key holds.
  const std::vector<uint32_t>& candidates_within(uint32_t place, std::vector<uint32_t>& candidates) {
    candidates.clear();
    if (!chains_.met(place)) return candidates;
    for (uint64_t b = 0; b < bands_; b++) {
      uint32_t held = batch_.held[place * bands_ + b];
      chains_.before(b, place, [&](uint32_t other) {
        if (batch_.states[other] != Batch::State::kKept || batch_.held[other * bands_ + b] >= kMaxPerKey) return;
        candidates.push_back(other), held++;
      });
      batch_.held[place * bands_ + b] = static_cast<uint8_t>(held);
    }
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    counts_.candidates += candidates.size();
    return candidates;
  }

  // Whether document `place` goes, because one of `candidates`, places of the batch, stays.
  bool match_with(uint32_t place, const std::vector<uint32_t>& candidates, Worker& worker) {
    const auto own_entry = static_cast<uint32_t>(entries_.size());
    if (!star()) {
      forest_.add();
      for (uint32_t entry : batch_.edges[place]) forest_.join(entry, own_entry);
    }
    bool set = false;
    for (uint32_t other : candidates) {
      const uint32_t entry = batch_entries_[other];
      if (!star() && forest_.root(entry) == forest_.root(own_entry)) continue;
      float similarity;
      if (!near(place, entry, set, worker, &similarity)) continue;
      if (star()) {
        remove(batch_.documents[place], entries_[entry], similarity);
        return true;
      }
      forest_.join(entry, own_entry);
    }
    return false;
  }

  void keep(uint32_t place) {
    const uint64_t entry = entries_.size();
    batch_.states[place] = Batch::State::kKept;
    batch_entries_[place] = static_cast<uint32_t>(entry);
    if (digests_of(entry) != digests(place)) std::copy_n(digests(place), digest_bytes_, digests_of(entry));
    entries_.push_back(batch_.documents[place]);
    kept_.push_back(place);
  }

  // What stays goes into the tables, each table in order.
  void enter() {
    parallel_for(kBandGroups, options_.threads, [&](size_t group) {
      uint64_t full = 0;
      for (size_t k = 0; k < kept_.size(); k++) {
        if (k + kAhead < kept_.size())
          for (uint64_t b = group; b < bands_; b += kBandGroups) tables_.prefetch(b, keys(kept_[k + kAhead])[b]);
        const uint32_t place = kept_[k];
        for (uint64_t b = group; b < bands_; b += kBandGroups) {
          if (batch_.held[place * bands_ + b] < kMaxPerKey)
            tables_.insert(b, keys(place)[b], batch_entries_[place]);
          else
            full++;
        }
      }
      counts_.full_buckets += full;
    });
  }

  void remove(uint32_t document, uint32_t of, float similarity) {
    result_.removed_by[document] = of, result_.similarity[document] = similarity;
  }

  // Whether one of `edges` has `entry` in its component.
  bool connected(const std::vector<uint32_t>& edges, uint32_t entry) const {
    return std::any_of(edges.begin(), edges.end(),
                       [&](uint32_t other) { return forest_.root(other) == forest_.root(entry); });
  }

  void name_components() {
    std::vector<uint32_t> removed;
    forest_.flatten();
    for (uint32_t entry = 0; entry < entries_.size(); entry++)
      if (forest_.root(entry) != entry) removed.push_back(entry);
    parallel_for((removed.size() + kTask - 1) / kTask, options_.threads, [&](size_t task) {
      const auto worker = take_worker();
      for (size_t i = task * kTask; i < std::min(removed.size(), (task + 1) * kTask); i++) {
        const uint32_t entry = removed[i], kept = forest_.root(entry);
        remove(entries_[entry], entries_[kept], similarity_of(entry, kept, *worker));
      }
    });
  }

  float similarity_of(uint32_t entry, uint32_t kept, Worker& worker) {
    if (!options_.verify) return static_cast<float>(sketcher_.estimate(digests_of(entry), digests_of(kept)));
    worker.comparer.set(text(entries_[entry], worker.text_a));
    const Overlap o = worker.comparer.compare(text(entries_[kept], worker.text_b));
    return static_cast<float>(o.similarity_of_a(options_.measure));
  }

  // What equals a removed document goes for the same reason; empty texts equal nothing.
  void settle_exact_duplicates() {
    for (uint64_t i = 0; i < texts_.count(); i++) {
      const uint32_t of = result_.removed_by[i];
      if (of == kNone || of == i) continue;
      if (empty_[of]) {
        result_.stats.empty++, result_.stats.exact_duplicates--;
        result_.removed_by[i] = options_.empty == Empty::kRemove ? static_cast<uint32_t>(i) : kNone;
        result_.similarity[i] = 0;
        continue;
      }
      if (result_.removed_by[of] != kNone)
        result_.similarity[i] = result_.similarity[of], result_.removed_by[i] = result_.removed_by[of];
    }
  }

  const Texts& texts_;
  const DedupOptions& options_;
  const std::vector<uint32_t>& order_;
  Sketcher sketcher_;
  uint64_t bands_, digest_bytes_;
  int least_agreement_;
  ExactTable exact_;
  BandTables tables_;
  std::vector<uint32_t> entries_;  // documents that stand in the tables, most preferred first
  uint64_t first_entry_ = 0;       // of the batch
  ZeroedArray<uint8_t> digests_;   // of the entries
  Forest forest_;                  // components: over the entries
  Batch batch_;
  BatchChains chains_;
  std::vector<uint32_t> batch_entries_ = std::vector<uint32_t>(kBatch);  // of those that stay
  std::vector<uint32_t> kept_;                                           // their places, ascending
  ObjectPool<Worker> workers_;
  std::vector<bool> empty_;
  Counts counts_;
  DedupResult result_;
};

}  // namespace

DedupResult deduplicate(const Texts& texts, const DedupOptions& options, const std::vector<uint32_t>& order,
                        const Progress& progress) {
  check(options);
  if (texts.count() >= kNone) throw_invalid(std::to_string(texts.count()) + " documents are more than 4294967294");
  if (!is_permutation(order, texts.count()))
    throw_invalid("order does not name each of the " + std::to_string(texts.count()) + " documents once");
  DedupResult result;
  with_threads(options.threads, [&] { result = Job(texts, options, order).run(progress); });
  return result;
}

}  // namespace mithril::dedup
