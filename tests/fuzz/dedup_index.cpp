// A dedup index file with valid checksums: found bad, or looked into and written again; read in full, with the same
// bytes.
//
// Input: flags u8 (1: read in full; 2: checksums are left as they are), the file. Checksums are computed here.
#include <algorithm>

#include "csrc/base/checksum.h"
#include "csrc/dedup/batch_sketches.h"
#include "csrc/dedup/index_finder.h"
#include "tests/fuzz/target.h"

using namespace mithril;
using namespace mithril::dedup;

static void seal(uint8_t* begin, uint64_t size, uint8_t* to) {
  uint64_t sum = xxh3_64(begin, size);
  std::memcpy(to, &sum, sizeof sum);
}

// Walks docs/dedup-index-format.md 1 as far as it makes sense.
static void repair(Exact& file) {
  if (file.size() < 128) return;
  uint8_t* footer = file.data() + file.size() - 64;
  auto u64_at = [&](const uint8_t* from) {
    uint64_t value;
    std::memcpy(&value, from, 8);
    return value;
  };
  seal(file.data(), 56, file.data() + 56);
  uint64_t at = u64_at(footer + 8), size = u64_at(footer + 16);
  if (at <= file.size() - 64 && size <= file.size() - 64 - at && size >= 64) {
    uint8_t* directory = file.data() + at;
    for (uint64_t entry = 64; entry + 24 <= size; entry += 24) {
      uint64_t from = u64_at(directory + entry), bytes = u64_at(directory + entry + 8);
      if (from <= at && bytes <= at - from) seal(file.data() + from, bytes, directory + entry + 16);
    }
    seal(directory, size, footer + 24);
  }
  seal(footer, 48, footer + 48);
}

namespace {
struct OneText : Texts {
  uint64_t count() const override { return 1; }
  std::string_view text(uint64_t, std::string&) const override { return "one of the texts that the seeds hold"; }
};
}  // namespace

static void look_into(const Segment& segment, const std::vector<Part>& parts) {
  const IndexParameters& p = segment.parameters();
  DedupOptions options;
  options.rules = p.rules, options.shape = p.shape, options.measure = p.measure, options.threshold = p.threshold;
  options.verify = p.verify && p.stores_texts, options.threads = 1;
  Sketcher sketcher(p.rules, p.shape);
  BatchSketches sketches(OneText(), sketcher, 1, nullptr);
  std::string scratch;
  std::vector<IndexMatch> matches;
  IndexFinder finder(parts, sketcher, options, nullptr);
  finder.all(OneText().text(0, scratch), sketches, 0, matches);
  for (const IndexMatch& match : matches) expect(match.number < segment.documents(), "matches are documents");
  finder.first(OneText().text(0, scratch), sketches, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  uint8_t flags = input.u8();
  bool whole = flags & 1;
  Exact bytes(input.rest());
  if (!(flags & 2)) repair(bytes);
  IndexFile file;
  if (!succeeds([&] { file = read_index_file({bytes.view(), nullptr}, "fuzz", whole); })) return 0;
  Part part;
  part.segment = file.segment;
  std::vector<uint8_t> again;
  bool written = succeeds([&] {
    look_into(*file.segment, {part});
    write_index_file(file.segment->parameters(), {part}, file.seen,
                     [&](ByteView view) { again.insert(again.end(), view.data, view.data + view.size); });
  });
  if (!whole || !written) return 0;  // a text that is not UTF-8 is found when it is compared
  expect(again.size() == bytes.size() && std::equal(again.begin() + 64, again.end(), bytes.data() + 64),
         "what is read in full is written the same, but for the minor version");
  return 0;
}
