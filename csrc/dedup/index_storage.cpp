// The index's way to files, to other indexes, and to the ids that the caller knows.
#include <sys/mman.h>

#include <algorithm>

#include "csrc/base/file.h"
#include "csrc/dedup/index.h"
#include "csrc/dedup/index_format.h"
#include "csrc/dedup/mapped_file.h"

namespace mithril::dedup {

IndexParameters Index::parameters(IdKind ids) const {
  return {options_.rules, options_.shape, options_.measure, options_.threshold, options_.verify, stores_texts_, ids};
}

void Index::check_equal(const IndexParameters& other, const std::string& name) const {
  auto equal = [&](const char* field, auto theirs, auto ours) {
    if (theirs != ours)
      throw_invalid(name + ": " + field + " is " + std::to_string(static_cast<uint64_t>(theirs)) + ", here it is " +
                    std::to_string(static_cast<uint64_t>(ours)) + ": the two cannot be compared");
  };
  equal("num_permutations", other.shape.permutations, options_.shape.permutations);
  equal("num_bands", other.shape.bands, options_.shape.bands);
  equal("num_rows", other.shape.rows, options_.shape.rows);
  equal("seed", other.shape.seed, options_.shape.seed);
  equal("ngram_size", other.rules.ngram_size, options_.rules.ngram_size);
  equal("normalization (0 none, 1 NFC, 2 NFKC)", other.rules.form, options_.rules.form);
  equal("fold_case", other.rules.fold_case, options_.rules.fold_case);
  equal("ignore_punctuation", other.rules.ignore_punctuation, options_.rules.ignore_punctuation);
  equal("store_texts", other.stores_texts, stores_texts_);
}

void Index::merge(const Index& other) {
  std::lock_guard<std::mutex> lock(writing_);
  State state = now(), theirs = other.now();
  check_equal(other.parameters(theirs.ids), "the other index");
  if (theirs.documents && state.documents && theirs.ids != state.ids)
    throw_invalid(std::string("the other index: its ids are ") + id_kind_name(theirs.ids) + ", those here are " +
                  id_kind_name(state.ids));
  if (theirs.seen > kMaxSeen - std::min(kMaxSeen, state.seen))
    throw_invalid("together the two indexes have seen more than " + std::to_string(kMaxSeen) + " texts");
  for (Part& part : theirs.parts) part.id_shift += state.seen, part.in_memory = false;
  append(state, theirs.parts, theirs.documents ? theirs.ids : state.ids, theirs.seen);
  set(std::move(state));
}

static FileBytes bytes_of(const std::string& path, bool mapped) {
  if (mapped) {
    auto file = std::make_shared<const MappedFile>(path);
    auto* data = const_cast<char*>(file->data());
    if (file->size()) madvise(data, file->size(), MADV_RANDOM);  // a look-up wants a page, not its neighbours
    return {{reinterpret_cast<const uint8_t*>(data), file->size()}, file};
  }
  FileSource file(path);
  auto bytes = std::make_shared<std::vector<uint8_t>>(file.size());
  file.read(0, file.size(), bytes->data());
  return {{bytes->data(), bytes->size()}, bytes};
}

IndexParameters read_index_parameters(const std::string& path) {
  return read_index_file(bytes_of(path, true), path, false).segment->parameters();
}

void Index::attach(const std::string& path, bool mapped) {
  FileBytes bytes = bytes_of(path, mapped);
  IndexFile file = read_index_file(bytes, path, !mapped);
  if (!mapped) file.segment->make_directories();
  Index other(options_, file.segment->parameters().stores_texts);
  check_equal(file.segment->parameters(), path);
  State state;
  state.documents = file.segment->documents(), state.seen = file.seen, state.ids = file.segment->parameters().ids;
  Part part;
  part.segment = file.segment, part.file = bytes;
  if (state.documents) state.parts.push_back(part);
  other.set(std::move(state));
  merge(other);
}

// Reads what lies in files in full.
static void verify(const std::vector<Part>& parts) {
  for (const Part& part : parts)
    if (part.file.owner) read_index_file(part.file, part.segment->name(), true);
}

void Index::save(const std::string& path) const {
  State state = now();
  verify(state.parts);  // what is only mapped was not read yet: damage must not go under a checksum of its own
  OutputFile file(path, true, true);
  write_index_file(parameters(state.ids), state.parts, state.seen, [&](ByteView view) { file.write({view}); });
  file.commit();
}

void Index::check() const {
  State state = now();
  verify(state.parts);
  for (const Part& part : state.parts)
    if (!part.file.owner) part.segment->check();
}

// Calls take(part, number in its segment) for documents of the index.
template <class Take>
static void each_document(const std::vector<Part>& parts, uint64_t documents, const std::vector<uint32_t>& numbers,
                          const Take& take) {
  for (uint32_t number : numbers) {
    if (number >= documents)
      throw_invalid("number " + std::to_string(number) + " is not below " + std::to_string(documents));
    auto next = std::upper_bound(parts.begin(), parts.end(), uint64_t{number},
                                 [](uint64_t n, const Part& part) { return n < part.first; });
    const Part& part = *std::prev(next);
    take(part, static_cast<uint32_t>(number - part.first));
  }
}

std::vector<int64_t> Index::ids(const std::vector<uint32_t>& numbers) const {
  State state = now();
  if (state.ids == IdKind::kTexts) throw_invalid("the ids of the index are texts");
  std::vector<int64_t> ids;
  uint64_t shifted = state.ids == IdKind::kAutomatic;
  each_document(state.parts, state.documents, numbers, [&](const Part& part, uint32_t number) {
    ids.push_back(static_cast<int64_t>(static_cast<uint64_t>(part.segment->id(number)) + shifted * part.id_shift));
  });
  return ids;
}

std::vector<std::string> Index::text_ids(const std::vector<uint32_t>& numbers) const {
  State state = now();
  if (state.ids != IdKind::kTexts) throw_invalid("the ids of the index are numbers");
  std::vector<std::string> ids;
  each_document(state.parts, state.documents, numbers,
                [&](const Part& part, uint32_t number) { ids.emplace_back(part.segment->text_id(number)); });
  return ids;
}

}  // namespace mithril::dedup
