// Index, header and footer with valid checksums; an index that is read is written again with the same bytes.
//
// Input: what u8. 0: offset u64, the index. 1: archive size u64, the header, the footer. Checksums are computed here.
#include <algorithm>

#include "csrc/base/checksum.h"
#include "csrc/format/header.h"
#include "csrc/format/index.h"
#include "tests/fuzz/target.h"

using namespace mithril;

static void seal(uint8_t* begin, uint64_t size) {
  uint64_t sum = xxh3_64(begin, size);
  std::memcpy(begin + size, &sum, sizeof sum);
}

// Walks the records of docs/format.md 4 as far as they make sense.
static void repair(Exact& index) {
  uint64_t at = 24, metadata_count;
  auto size_at = [&](uint64_t from) {
    uint64_t size = 0;
    if (from + 8 <= index.size()) std::memcpy(&size, index.data() + from, 8);
    return size;
  };
  if (index.size() < at) return;
  std::memcpy(&metadata_count, index.data() + 16, 8);
  if (metadata_count > index.size() / 16) return;
  for (uint64_t i = 0; i < 2 * metadata_count && at + 8 <= index.size(); i++) {  // keys and values
    uint64_t size = size_at(at);
    if (size > index.size() - at - 8) return;
    at += 8 + size;
  }
  for (uint64_t size; (size = size_at(at)) >= 16 && size <= index.size() - at; at += size)
    seal(index.data() + at, size - 8);
}

static void check_index(Input& input) {
  uint64_t offset = input.u64();
  Exact bytes(input.rest());
  repair(bytes);
  Index index;
  if (!succeeds([&] { index = read_index(bytes.view(), offset, "fuzz"); })) return;
  expect(index.by_name.size() == index.entries.size(), "every entry is found by its name");
  for (const Entry& e : index.entries)
    expect(e.kind == EntryKind::kAlias || (e.frame_offset <= e.table_offset && e.frame_end() <= offset),
           "frames lie before the index");
  std::vector<uint8_t> again = write_index(index.entries, index.metadata);
  expect(again.size() == bytes.size() && std::equal(again.begin(), again.end(), bytes.data()),
         "what is read is written the same");
}

static void check_ends(Input& input) {
  uint64_t archive_size = input.u64();
  Exact head(std::min(archive_size, kHeaderSize)), tail(archive_size < kFooterSize ? 0 : kFooterSize);
  for (Exact* to : {&head, &tail}) {
    ByteView from = input.bytes(to->size());
    if (from.size) std::memcpy(to->data(), from.data, from.size);
  }
  if (head.size() == kHeaderSize) seal(head.data(), 56);
  if (tail.size()) seal(tail.data(), 112);
  Footer footer;
  if (!succeeds([&] { footer = read_ends(head.view(), tail.view(), archive_size, "fuzz"); })) return;
  uint64_t end = archive_size - kFooterSize;
  expect(footer.archive_size == archive_size && footer.index_offset >= kHeaderSize && footer.index_offset <= end &&
             footer.index_size <= end - footer.index_offset,
         "the index lies between header and footer");
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  input.u8() & 1 ? check_ends(input) : check_index(input);
  return 0;
}
