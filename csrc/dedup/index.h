// Documents that were kept, to be found again: grows by batches, lies in memory or in a mapped file, is saved as one
// file.
//
// It is a list of immutable segments; documents are numbered through them in the order in which they were added, which
// is the order of preference. A batch becomes a segment, and small ones in memory are merged, so that there are few.
// Methods may be called from several threads at once: readers work on the list as it was when they began, writers wait
// for one another. Results do not depend on threads nor on how the texts were cut into batches, but for buckets that
// are full.
#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "csrc/dedup/batch_sketches.h"
#include "csrc/dedup/deduplicate.h"
#include "csrc/dedup/index_file.h"

namespace mithril::dedup {

// Where texts of files lie: text i in row rows[i] of names[files[i]].
struct FileRows {
  std::vector<std::string> names;
  std::vector<uint32_t> files;
  std::vector<uint64_t> rows;
};

// What the caller calls the texts of a batch. kAutomatic: by their positions among all texts given to the index so far.
struct DocumentIds {
  IdKind kind = IdKind::kAutomatic;
  std::vector<int64_t> numbers;
  std::vector<std::string> texts;
  FileRows places{};  // instead of `texts`: each is `file:row`, and is made when it is wanted

  uint64_t count() const;
  std::string text(uint64_t i) const;
};

// The near duplicates of text i: those from offsets[i] to before offsets[i + 1], by number in the index.
struct IndexMatches {
  std::vector<uint64_t> offsets;
  std::vector<uint32_t> numbers;
  std::vector<float> similarities;
};

struct IndexRemovals {
  std::vector<uint32_t> removed_by;  // of each text: kNone when it is kept or empty, else the document that explains it
  std::vector<float> similarity;     // of the two; 0 where kept
  std::vector<uint8_t> empty;        // 1: without words; such texts are never in the index
  uint64_t seen = 0;                 // texts that were given to the index before: the automatic id of the first
  DedupStats stats;
};

// What a file was made with.
IndexParameters read_index_parameters(const std::string& path);

class Index {
 public:
  // What the index holds at a time. Segments are shared, so keeping one costs little.
  struct State {
    std::vector<Part> parts;
    uint64_t documents = 0, seen = 0;
    IdKind ids = IdKind::kAutomatic;
  };

  // `options`: clusters must be star. Exact verification needs texts: stored, or given to each call as `known`, which
  // has those of all documents by number; else such a call throws invalid_argument.
  Index(const DedupOptions& options, bool stores_texts);

  // Stages of `progress`, each in texts: "sketch", "look up", and "match" among those that are not known. When one of
  // these throws, or `progress` does, nothing was added.

  // Takes all texts that have words, duplicates too.
  void add(const Texts& texts, const DocumentIds& ids, const Progress& progress = {});
  IndexMatches query(const Texts& texts, const Texts* known, const Progress& progress = {}) const;
  // Removes what has a near duplicate in the index, or earlier in the batch; adds the rest.
  IndexRemovals deduplicate(const Texts& texts, const DocumentIds& ids, const Texts* known,
                            const Progress& progress = {});
  // Removes what has a near duplicate in the index; adds nothing.
  IndexRemovals remove_known(const Texts& texts, const Texts* known, const Progress& progress = {}) const;

  // Appends the documents of another index, or of a file, as they are. The text rules, the shape of the sketches and
  // whether texts are stored must be the same, and the kind of ids; automatic ids go on from those that are here.
  void merge(const Index& other);
  void attach(const std::string& path, bool mapped);
  // One file, which appears whole or not at all.
  void save(const std::string& path) const;
  // Reads all that is held and throws corrupt where it cannot be.
  void check() const;

  State now() const;
  // Makes it what it was: forgets what was added since.
  void restore(State state);

  uint64_t documents() const { return now().documents; }
  uint64_t seen() const { return now().seen; }
  uint64_t left_out() const;
  IdKind id_kind() const { return now().ids; }
  bool stores_texts() const { return stores_texts_; }
  // Of documents by number; throw invalid_argument for one that is not there.
  std::vector<int64_t> ids(const std::vector<uint32_t>& numbers) const;
  std::vector<std::string> text_ids(const std::vector<uint32_t>& numbers) const;

 private:
  void set(State state);
  IndexParameters parameters(IdKind ids) const;
  void check_ids(const State& state, const DocumentIds& ids, uint64_t texts) const;
  void check_equal(const IndexParameters& other, const std::string& name) const;
  void check_known(const State& state, const Texts* known) const;
  IndexRemovals find_known(const State& state, const Texts& texts, const BatchSketches& sketches, const Texts* known,
                           const Progress& progress) const;
  void append(State& state, const std::vector<Part>& parts, IdKind ids, uint64_t seen) const;
  void append_batch(State& state, const Texts& texts, const BatchSketches& sketches, const DocumentIds& ids,
                    const std::vector<uint64_t>& kept) const;
  void compact(State& state) const;

  DedupOptions options_;
  bool stores_texts_;
  Sketcher sketcher_;
  mutable std::mutex mutex_;  // of state_
  std::mutex writing_;        // held by what changes it, from before it is read
  State state_;
};

}  // namespace mithril::dedup
