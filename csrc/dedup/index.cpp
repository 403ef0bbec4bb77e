#include "csrc/dedup/index.h"

#include "csrc/dedup/batch_segment.h"
#include "csrc/dedup/index_finder.h"
#include "csrc/dedup/shares.h"

namespace mithril::dedup {

Index::Index(const DedupOptions& options, bool stores_texts)
    : options_(options), stores_texts_(stores_texts), sketcher_(options.rules, options.shape) {
  if (options.clusters != Clusters::kStar) throw_invalid("clusters: an index removes by star only");
}

Index::State Index::now() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return state_;
}

void Index::set(State state) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::swap(state_, state);
}

void Index::restore(State state) {
  std::lock_guard<std::mutex> lock(writing_);
  set(std::move(state));
}

uint64_t Index::left_out() const {
  uint64_t count = 0;
  for (const Part& part : now().parts) count += part.segment->left_out();
  return count;
}

// ---- what is asked ----

void Index::check_known(const State& state, const Texts* known) const {
  if (!options_.verify || stores_texts_) return;
  if (!known)
    throw_invalid("known: the index does not store texts, so exact verification needs them; or take verify=False");
  if (known->count() != state.documents)
    throw_invalid("known: " + std::to_string(known->count()) + " texts, the index has " +
                  std::to_string(state.documents) + " documents");
}

static void add_to(DedupStats& sum, const DedupStats& stats) {
  sum.exact_duplicates += stats.exact_duplicates, sum.candidate_pairs += stats.candidate_pairs;
  sum.verified_pairs += stats.verified_pairs, sum.accepted_pairs += stats.accepted_pairs;
  sum.full_buckets += stats.full_buckets;
}

IndexMatches Index::query(const Texts& texts, const Texts* known, const Progress& progress) const {
  State state = now();
  check_known(state, known);
  BatchSketches sketches(texts, sketcher_, options_.threads, progress);
  uint64_t n = texts.count();
  std::vector<std::vector<IndexMatch>> found(ceil_div(n, kTextsPerShare));
  IndexMatches result;
  result.offsets.resize(n + 1);
  for_each_share(n, options_.threads, "look up", progress, [&](uint64_t share, uint64_t first, uint64_t last) {
    IndexFinder finder(state.parts, sketcher_, options_, known);
    std::string scratch;
    for (uint64_t i = first; i < last; i++) {
      size_t before = found[share].size();
      if (!sketches.empty[i]) finder.all(texts.text(i, scratch), sketches, i, found[share]);
      result.offsets[i + 1] = found[share].size() - before;
    }
  });
  for (uint64_t i = 0; i < n; i++) result.offsets[i + 1] += result.offsets[i];
  for (const std::vector<IndexMatch>& matches : found)
    for (const IndexMatch& match : matches)
      result.numbers.push_back(match.number), result.similarities.push_back(match.similarity);
  return result;
}

IndexRemovals Index::find_known(const State& state, const Texts& texts, const BatchSketches& sketches,
                                const Texts* known, const Progress& progress) const {
  uint64_t n = texts.count();
  IndexRemovals result{std::vector<uint32_t>(n, kNone), std::vector<float>(n), sketches.empty, 0, {}};
  result.stats.documents = n;
  std::vector<DedupStats> stats(ceil_div(n, kTextsPerShare));
  for_each_share(n, options_.threads, "look up", progress, [&](uint64_t share, uint64_t first, uint64_t last) {
    IndexFinder finder(state.parts, sketcher_, options_, known);
    std::string scratch;
    for (uint64_t i = first; i < last; i++) {
      finder.stats.bytes += sketches.bytes[i], finder.stats.empty += sketches.empty[i];
      if (sketches.empty[i]) continue;
      IndexMatch match = finder.first(texts.text(i, scratch), sketches, i);
      result.removed_by[i] = match.number, result.similarity[i] = match.similarity;
    }
    stats[share] = finder.stats;
  });
  for (const DedupStats& s : stats) {
    add_to(result.stats, s);
    result.stats.bytes += s.bytes, result.stats.empty += s.empty;
  }
  return result;
}

IndexRemovals Index::remove_known(const Texts& texts, const Texts* known, const Progress& progress) const {
  State state = now();
  check_known(state, known);
  return find_known(state, texts, BatchSketches(texts, sketcher_, options_.threads, progress), known, progress);
}

// ---- what is added ----

// Some texts of a batch, by their positions there.
namespace {
class ChosenTexts : public Texts {
 public:
  ChosenTexts(const Texts& all, const std::vector<uint64_t>& positions) : all_(all), positions_(positions) {}
  uint64_t count() const override { return positions_.size(); }
  std::string_view text(uint64_t i, std::string& scratch) const override { return all_.text(positions_[i], scratch); }

 private:
  const Texts& all_;
  const std::vector<uint64_t>& positions_;
};
}  // namespace

uint64_t DocumentIds::count() const {
  if (kind == IdKind::kNumbers) return numbers.size();
  return texts.empty() ? places.files.size() : texts.size();
}

std::string DocumentIds::text(uint64_t i) const {
  return texts.empty() ? places.names[places.files[i]] + ":" + std::to_string(places.rows[i]) : texts[i];
}

void Index::check_ids(const State& state, const DocumentIds& ids, uint64_t texts) const {
  if (state.documents && ids.kind != state.ids)
    throw_invalid(std::string("ids are ") + id_kind_name(ids.kind) + ", those of the index are " +
                  id_kind_name(state.ids));
  if (ids.kind != IdKind::kAutomatic && ids.count() != texts)
    throw_invalid(std::to_string(ids.count()) + " ids for " + std::to_string(texts) + " texts");
}

static std::vector<uint64_t> with_words(const BatchSketches& sketches) {
  std::vector<uint64_t> positions;
  for (uint64_t i = 0; i < sketches.empty.size(); i++)
    if (!sketches.empty[i]) positions.push_back(i);
  return positions;
}

void Index::append_batch(State& state, const Texts& texts, const BatchSketches& sketches, const DocumentIds& ids,
                         const std::vector<uint64_t>& kept) const {
  BatchIds of_kept;
  for (uint64_t i : kept) {
    if (ids.kind == IdKind::kTexts)
      of_kept.texts.push_back(ids.text(i));
    else
      of_kept.numbers.push_back(ids.kind == IdKind::kNumbers ? ids.numbers[i] : static_cast<int64_t>(state.seen + i));
  }
  std::vector<Part> parts;
  if (!kept.empty()) {
    Part part;
    auto segment = make_segment(parameters(ids.kind), texts, sketches, kept, of_kept, options_.threads);
    segment->make_directories();
    part.segment = segment;
    part.in_memory = true;
    parts.push_back(part);
  }
  append(state, parts, ids.kind, texts.count());
}

void Index::append(State& state, const std::vector<Part>& parts, IdKind ids, uint64_t seen) const {
  for (Part part : parts) {
    part.first = state.documents;
    state.documents += part.segment->documents();
    if (state.documents > kMaxIndexDocuments)
      throw_invalid("the index would have more than " + std::to_string(kMaxIndexDocuments) + " documents");
    state.ids = ids;
    state.parts.push_back(std::move(part));
    compact(state);
  }
  state.seen += seen;
}

// Merges the last two parts as long as the older has less than twice the documents of the younger: so there are few
// parts, and each document was merged few times.
void Index::compact(State& state) const {
  while (state.parts.size() > 1) {
    Part younger = state.parts.back(), older = state.parts[state.parts.size() - 2];
    if (!younger.in_memory || !older.in_memory || older.segment->documents() / 2 >= younger.segment->documents())
      return;
    Part merged;
    merged.first = older.first, merged.in_memory = true;
    older.first = 0, younger.first = older.segment->documents();
    auto bytes = std::make_shared<std::vector<uint8_t>>();
    uint64_t size = 0;
    for (const Part& part : {older, younger})
      for (uint32_t s = 0; s < kFirstBand + sketcher_.shape().bands; s++) size += part.segment->section(s).size + 128;
    bytes->reserve(size);
    write_index_file(parameters(state.ids), {older, younger}, state.documents,
                     [&](ByteView view) { bytes->insert(bytes->end(), view.data, view.data + view.size); });
    IndexFile file = read_index_file({{bytes->data(), bytes->size()}, bytes}, "index in memory", false);
    file.segment->make_directories();
    merged.segment = file.segment;
    state.parts.resize(state.parts.size() - 2);
    state.parts.push_back(std::move(merged));
  }
}

void Index::add(const Texts& texts, const DocumentIds& ids, const Progress& progress) {
  std::lock_guard<std::mutex> lock(writing_);
  State state = now();
  check_ids(state, ids, texts.count());
  BatchSketches sketches(texts, sketcher_, options_.threads, progress);
  append_batch(state, texts, sketches, ids, with_words(sketches));
  set(std::move(state));
}

IndexRemovals Index::deduplicate(const Texts& texts, const DocumentIds& ids, const Texts* known,
                                 const Progress& progress) {
  std::lock_guard<std::mutex> lock(writing_);
  State state = now();
  check_ids(state, ids, texts.count());
  check_known(state, known);
  BatchSketches sketches(texts, sketcher_, options_.threads, progress);
  IndexRemovals result = find_known(state, texts, sketches, known, progress);
  result.seen = state.seen;
  std::vector<uint64_t> rest, kept;
  for (uint64_t i : with_words(sketches))
    if (result.removed_by[i] == kNone) rest.push_back(i);
  DedupResult among = dedup::deduplicate(ChosenTexts(texts, rest), options_, {}, progress);
  add_to(result.stats, among.stats);
  std::vector<uint32_t> numbers(rest.size());  // in the index, of those that are kept
  for (uint64_t k = 0; k < rest.size(); k++) {
    if (among.removed_by[k] != kNone) continue;
    numbers[k] = static_cast<uint32_t>(state.documents + kept.size());
    kept.push_back(rest[k]);
  }
  for (uint64_t k = 0; k < rest.size(); k++) {
    if (among.removed_by[k] == kNone) continue;
    result.removed_by[rest[k]] = numbers[among.removed_by[k]];
    result.similarity[rest[k]] = among.similarity[k];
  }
  append_batch(state, texts, sketches, ids, kept);
  set(std::move(state));
  return result;
}

}  // namespace mithril::dedup
