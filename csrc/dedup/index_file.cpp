#include "csrc/dedup/index_file.h"

#include <algorithm>
#include <cstring>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/dedup/index_format.h"

namespace mithril::dedup {

// Writes sections one after the other: gathers small pieces, sums, pads.
namespace {
class SectionWriter {
 public:
  explicit SectionWriter(const Sink& sink) : sink_(sink), gathered_(kGather) {}

  void raw(const std::vector<uint8_t>& bytes) {
    sink_({bytes.data(), bytes.size()});
    written_ += bytes.size();
  }
  void begin() {
    sum_ = Xxh3();
    entry_ = {written_, 0, 0};
  }
  void bytes(ByteView view) {
    if (view.size < kGather / 16) {
      if (used_ + view.size > kGather) flush();
      if (view.size) std::memcpy(&gathered_[used_], view.data, view.size);
      used_ += view.size;
    } else {
      flush();
      emit(view);
    }
  }
  template <class T>
  void value(T v) {
    if (used_ + sizeof v > kGather) flush();
    std::memcpy(&gathered_[used_], &v, sizeof v);
    used_ += sizeof v;
  }
  SectionEntry end() {
    flush();
    entry_.size = written_ - entry_.offset;
    entry_.checksum = sum_.end();
    raw(std::vector<uint8_t>(align64(written_) - written_));
    return entry_;
  }
  uint64_t written() const { return written_; }

 private:
  static constexpr uint64_t kGather = 1 << 18;
  void emit(ByteView view) {
    for (uint64_t at = 0; at < view.size; at += kGather) {  // summed while the piece is near
      ByteView piece{view.data + at, std::min(kGather, view.size - at)};
      sum_.add(piece.data, piece.size);
      sink_(piece);
    }
    written_ += view.size;
  }
  void flush() {
    emit({gathered_.data(), used_});
    used_ = 0;
  }

  const Sink& sink_;
  Xxh3 sum_;
  SectionEntry entry_;
  std::vector<uint8_t> gathered_;
  uint64_t used_ = 0, written_ = 0;
};
}  // namespace

// ids and id_bytes, texts and text_offsets: pieces are joined, offsets go on from part to part.
static void write_offsets(const std::vector<Part>& parts, uint32_t offsets, uint32_t bytes, SectionWriter& writer) {
  uint64_t at = 0;
  writer.value(at);
  for (const Part& part : parts) {
    uint64_t end = at + part.segment->section(bytes).size;
    for (uint32_t i = 0; i < part.segment->documents(); i++)
      writer.value(at += part.segment->piece(offsets, bytes, i).size());
    if (at != end) part.segment->fail(offsets, 0, "the pieces do not fill " + section_name(bytes));
  }
}

static void write_ids(const IndexParameters& parameters, const std::vector<Part>& parts, SectionWriter& writer) {
  if (parameters.ids == IdKind::kTexts) return write_offsets(parts, kIds, kIdBytes, writer);
  for (const Part& part : parts)
    for (uint32_t i = 0; i < part.segment->documents(); i++)
      writer.value(static_cast<uint64_t>(part.segment->id(i)) +
                   (parameters.ids == IdKind::kAutomatic ? part.id_shift : 0));
}

static void append_all(const std::vector<Part>& parts, uint32_t section, SectionWriter& writer) {
  for (const Part& part : parts) writer.bytes(part.segment->section(section));
}

// Calls take(part, i) for element i of each part, the parts' elements merged in ascending order of key(part, i); of
// equal keys the earlier part's comes first. Parts are few.
template <class Key, class Count, class Take>
static void merge_sorted(size_t parts, const Key& key, const Count& count, const Take& take) {
  struct Head {
    decltype(key(0, 0)) value;
    size_t part;
    uint64_t i, count;
  };
  std::vector<Head> heads;
  for (size_t p = 0; p < parts; p++)
    if (count(p)) heads.push_back({key(p, 0), p, 0, count(p)});
  while (!heads.empty()) {
    size_t least = 0;
    for (size_t h = 1; h < heads.size(); h++)
      if (heads[h].value < heads[least].value) least = h;
    Head& head = heads[least];
    take(head.part, head.i);
    if (++head.i < head.count)
      head.value = key(head.part, head.i);
    else
      heads.erase(heads.begin() + static_cast<std::ptrdiff_t>(least));
  }
}

// Calls take(part, i) for the hashes of all parts, ascending by (low, high, number).
template <class Take>
static void merge_hashes(const std::vector<Part>& parts, const Take& take) {
  auto at = [&](size_t p, uint64_t i) {
    return reinterpret_cast<const uint64_t*>(parts[p].segment->section(kHashes).data) + 2 * i;
  };
  merge_sorted(
      parts.size(),
      [&](size_t p, uint64_t i) { return std::make_pair(at(p, i)[0], at(p, i)[1]); },  // then by part, so by number
      [&](size_t p) { return uint64_t{parts[p].segment->documents()}; }, take);
}

static void write_hashes(const std::vector<Part>& parts, SectionWriter& writer) {
  merge_hashes(parts,
               [&](size_t p, uint64_t i) { writer.bytes({parts[p].segment->section(kHashes).data + 16 * i, 16}); });
}

static void write_hash_numbers(const std::vector<Part>& parts, SectionWriter& writer) {
  merge_hashes(parts, [&](size_t p, uint64_t i) {
    writer.value(static_cast<uint32_t>(parts[p].first + parts[p].segment->hash_number(i)));
  });
}

// Of a key the first documents stay, as many as a bucket holds.
static void write_band(const std::vector<Part>& parts, uint32_t section, SectionWriter& writer) {
  uint64_t previous = ~uint64_t{0}, same = 0;
  auto entry = [&](size_t p, uint64_t i) {
    const auto* at = reinterpret_cast<const uint64_t*>(parts[p].segment->section(section).data) + i;
    return (*at >> 32 << 32) + parts[p].first + parts[p].segment->number(section - kFirstBand, at);
  };
  merge_sorted(
      parts.size(), entry, [&](size_t p) { return parts[p].segment->section(section).size / 8; },
      [&](size_t p, uint64_t i) {
        uint64_t value = entry(p, i), key = value >> 32;
        same = key == previous ? same + 1 : 1;
        previous = key;
        if (same <= kMaxPerKey) writer.value(value);
      });
}

static void write_section(const IndexParameters& parameters, const std::vector<Part>& parts, uint32_t section,
                          SectionWriter& writer) {
  switch (section) {
    case kIds: return write_ids(parameters, parts, writer);
    case kIdBytes:
    case kDigests:
    case kTextBytes: return append_all(parts, section, writer);
    case kHashes: return write_hashes(parts, writer);
    case kHashNumbers: return write_hash_numbers(parts, writer);
    case kTextOffsets:
      if (parameters.stores_texts) write_offsets(parts, kTextOffsets, kTextBytes, writer);
      return;
    default: write_band(parts, section, writer);
  }
}

void write_index_file(const IndexParameters& parameters, const std::vector<Part>& parts, uint64_t seen,
                      const Sink& sink) {
  SectionWriter writer(sink);
  IndexDirectory directory{parameters, 0, seen, {}};
  for (const Part& part : parts) directory.documents += part.segment->documents();
  writer.raw(write_index_header());
  for (uint32_t s = 0; s < kFirstBand + static_cast<uint32_t>(parameters.shape.bands); s++) {
    writer.begin();
    write_section(parameters, parts, s, writer);
    directory.sections.push_back(writer.end());
  }
  writer.raw(write_index_end(directory, writer.written()));
}

static void check_section(ByteView file, const SectionEntry& entry, const Segment& segment, uint32_t section) {
  if (xxh3_64(file.data + entry.offset, entry.size) != entry.checksum)
    segment.fail(section, 0, "checksum does not match");
  for (uint64_t at = entry.offset + entry.size; at < align64(entry.offset + entry.size); at++)
    if (file.data[at]) segment.fail(section, at - entry.offset, "padding is not zero");
}

IndexFile read_index_file(const FileBytes& bytes, const std::string& name, bool whole) {
  IndexDirectory directory = read_index_ends(bytes.view, name);
  std::vector<ByteView> sections;
  std::vector<uint64_t> offsets;
  for (const SectionEntry& s : directory.sections)
    sections.push_back({bytes.view.data + s.offset, s.size}), offsets.push_back(s.offset);
  auto segment = std::make_shared<Segment>(directory.parameters, directory.documents, std::move(sections),
                                           std::move(offsets), bytes.owner, name);
  if (whole) {
    for (uint32_t s = 0; s < directory.sections.size(); s++)
      check_section(bytes.view, directory.sections[s], *segment, s);
    segment->check();
  }
  return {segment, directory.seen};
}

}  // namespace mithril::dedup
