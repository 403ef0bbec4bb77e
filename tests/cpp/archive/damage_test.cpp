// Damaged archives: an error of the right kind, never a crash, never other data than was written.
#include "csrc/base/checksum.h"
#include "csrc/format/header.h"
#include "tests/cpp/support/archives.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/scoped.h"

namespace mithril {
namespace {

// Small, with each coder and kind of entry.
const std::vector<Tensor>& tensors() {
  static const std::vector<Tensor> list = {make_tensor("half", DType::kBFloat16, {90}, Pattern::kGaussian),
                                           make_tensor("random", DType::kUInt8, {70}, Pattern::kRandom),
                                           make_tensor("zeros", DType::kInt64, {5, 5}, Pattern::kZeros),
                                           make_tensor("counter", DType::kInt16, {400}, Pattern::kCounter),
                                           make_tensor("keys", DType::kFloat8E5M2, {900}, Pattern::kGaussian),
                                           make_tensor("few", DType::kInt16, {600}, Pattern::kFewValues),
                                           make_tensor("empty", DType::kFloat32, {0}, Pattern::kZeros),
                                           make_value("value", EntryKind::kValue, "[1]"),
                                           make_alias("alias", 1)};
  return list;
}

Bytes small_archive() { return write_archive(tensors(), {{"key", "value"}}); }

void verify(const Bytes& archive) { ArchiveReader(source_of(archive)).verify(true, 1); }

// Reads everything: as it was written, or corrupt. Returns whether it could be read.
bool reads(const Bytes& archive) {
  try {
    std::vector<Bytes> contents = read_all(ArchiveReader(source_of(archive)));
    for (size_t i = 0; i < contents.size(); i++)
      EXPECT_TRUE(contents[i] == tensors()[tensors()[i].kind == EntryKind::kAlias ? 1 : i].bytes)
          << "other data for entry " << i;
    return true;
  } catch (const Error& e) {
    EXPECT_TRUE(e.kind() == ErrorKind::kCorrupt || e.kind() == ErrorKind::kUnsupported) << e.what();
    return false;
  }
}

TEST(Damage, CoversEveryCoder) {
  Bytes archive = small_archive();
  ArchiveReader reader(source_of(archive));
  bool seen[kCoders] = {};
  for (size_t i = 0; i < tensors().size(); i++)
    for (const StreamRecord& s : reader.table(i).streams) seen[static_cast<int>(s.coder)] = true;
  for (Coder c : {Coder::kRaw, Coder::kConstant, Coder::kZstd, Coder::kContextRans, Coder::kPalette})
    EXPECT_TRUE(seen[static_cast<int>(c)]) << static_cast<int>(c);
  verify(archive);
}

TEST(Damage, CutAnywhereIsTruncated) {
  Bytes whole = small_archive();
  for (size_t n = 0; n < whole.size(); n++)
    EXPECT_ERROR(kTruncated, "", ArchiveReader(source_of(Bytes(whole.begin(), whole.begin() + n)))) << n;
  for (size_t more : {1, 63, 64, 128, 1000}) {
    Bytes longer = whole;
    longer.resize(whole.size() + more);
    EXPECT_ERROR(kTruncated, "", ArchiveReader(source_of(longer))) << more;
  }
}

TEST(Damage, CutFiles) {
  ScopedFolder folder;
  Bytes whole = small_archive();
  for (size_t n :
       {size_t{0}, size_t{1}, size_t{8}, size_t{63}, size_t{64}, size_t{191}, size_t{192}, whole.size() - 1}) {
    write_file(folder / "a", Bytes(whole.begin(), whole.begin() + n));
    EXPECT_ERROR(kTruncated, folder / "a", ArchiveReader(std::make_shared<FileSource>(folder / "a"))) << n;
  }
}

TEST(Damage, AFlippedBitInAnyByteIsCorrupt) {
  Bytes archive = small_archive();
  for (size_t at = 0; at < archive.size(); at++) {
    auto bit = static_cast<uint8_t>(1 << at % 8);
    archive[at] ^= bit;
    for (bool decode : {false, true})
      EXPECT_ERROR(kCorrupt, "offset", ArchiveReader(source_of(archive)).verify(decode, 1)) << at;
    reads(archive);
    archive[at] ^= bit;
  }
}

// The rest is damage by someone who knows the format: every checksum on the way to it is right again.

void put(Bytes& archive, uint64_t at, const Bytes& bytes) { std::copy(bytes.begin(), bytes.end(), &archive[at]); }

// Writes this index (of the same size), and the footer that goes with it.
void put_index(Bytes& archive, uint64_t offset, const Bytes& index) {
  put(archive, offset, index);
  Footer footer{archive.size(), offset, index.size(), xxh3_128(index.data(), index.size())};
  put(archive, archive.size() - kFooterSize, write_footer(footer, zstd_version()));
}

void seal(Bytes& bytes) {
  uint64_t sum = xxh3_64(bytes.data(), bytes.size() - 8);
  std::memcpy(&bytes[bytes.size() - 8], &sum, 8);
}

// Nothing but an Error may come of it; other data may.
void expect_no_crash(const Bytes& archive) {
  try {
    ArchiveReader reader(source_of(archive));
    for (const Entry& e : reader.entries())
      if (e.raw_size() > 1 << 20) return;  // names so much memory that a caller would not allocate it
    read_all(reader);
    reader.verify(true, 1);
  } catch (const Error& e) {
    EXPECT_TRUE(e.kind() == ErrorKind::kCorrupt || e.kind() == ErrorKind::kUnsupported) << e.what();
  }
}

TEST(Damage, IndexBitsWithValidChecksums) {
  Bytes archive = small_archive();
  ArchiveReader reader(source_of(archive));
  std::vector<Entry> entries = reader.entries();
  uint64_t offset = entries[5].frame_end();
  Bytes index = write_index(entries, reader.metadata());
  std::vector<uint64_t> starts;
  for (uint64_t at = index.size(), i = entries.size(); i-- > 0;) {  // from the end, by the sizes of the entries
    at -= write_index({entries[i]}, {}).size() - 24;
    starts.push_back(at);
  }
  for (uint64_t start : starts) {
    uint64_t size;
    std::memcpy(&size, &index[start], 8);
    for (uint64_t bit = 8 * 8; bit < 8 * (size - 8); bit++) {  // all fields but entry_size and checksum
      Bytes entry(&index[start], &index[start] + size), changed = index, damaged = archive;
      entry[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      seal(entry);
      put(changed, start, entry);
      put_index(damaged, offset, changed);
      expect_no_crash(damaged);
    }
  }
  for (uint64_t bit = 0; bit < 8 * index.size(); bit += 3) {
    Bytes changed = index, damaged = archive;
    changed[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    put_index(damaged, offset, changed);
    expect_no_crash(damaged);
  }
}

TEST(Damage, TableBitsWithValidChecksums) {
  Bytes archive = small_archive();
  ArchiveReader reader(source_of(archive));
  for (const Entry& e : reader.entries())
    for (uint64_t bit = 0; bit < 8 * (e.table_size - 8) && e.kind != EntryKind::kAlias; bit++) {
      Bytes damaged = archive, table(&archive[e.table_offset], &archive[e.table_offset] + e.table_size);
      table[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      seal(table);
      put(damaged, e.table_offset, table);
      expect_no_crash(damaged);
      reads(damaged);
    }
}

TEST(Damage, StoredBitsWithValidChecksumsAreCorrupt) {
  uint64_t harmless = 0, all = 0;
  Bytes archive = small_archive();
  ArchiveReader reader(source_of(archive));
  for (uint64_t i = 0; i < tensors().size() - 1; i++) {
    const Entry& e = reader.entries()[i];
    for (const BlockRecord& b : reader.table(i).blocks)
      for (uint64_t bit = 0; bit < 8 * b.stored_size; bit++) {
        Bytes damaged = archive;
        damaged[b.offset + bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        Table table = reader.table(i);
        table.blocks[0].stored_checksum = xxh3_64(&damaged[b.offset], b.stored_size);
        put(damaged, e.table_offset, write_table(table));
        ASSERT_NO_THROW(ArchiveReader(source_of(damaged)).table(i));
        // A few bits of a zstd frame or a rans table mean nothing; all others are noticed, at the latest by the raw
        // checksum.
        if (reads(damaged)) harmless++;
        all++;
      }
  }
  EXPECT_LT(harmless, all / 100);
}

TEST(Damage, TablesSwapped) {  // both valid, of the same dtype and shape: the content id tells them apart
  std::vector<Tensor> two = {make_tensor("a", DType::kUInt8, {64}, Pattern::kRandom),
                             make_tensor("bb", DType::kUInt8, {64}, Pattern::kRandom)};
  Bytes archive = write_archive(two);
  ArchiveReader reader(source_of(archive));
  const Entry &a = reader.entries()[0], &b = reader.entries()[1];
  ASSERT_EQ(a.table_size, b.table_size);
  std::swap_ranges(&archive[a.frame_offset], &archive[a.frame_offset] + (a.frame_end() - a.frame_offset),
                   &archive[b.frame_offset]);
  EXPECT_ERROR(kCorrupt, "content_id does not match the table", ArchiveReader(source_of(archive)).table(0));
}

TEST(Damage, ErrorsOfOneBlockReachEveryWayToRead) {
  Tensor t = make_tensor("t", DType::kInt32, {4000}, Pattern::kRandom);
  Bytes archive = write_archive({t}, {}, kSmallBlocks), out(16000);
  archive[64 + 4096 * 3 + 5] ^= 1;  // in block 3
  ScopedFolder folder;
  write_file(folder / "a", archive);
  for (int threads : {1, 2})
    for (const std::shared_ptr<const ByteSource>& source :
         {std::shared_ptr<const ByteSource>(source_of(archive)),
          std::shared_ptr<const ByteSource>(std::make_shared<FileSource>(folder / "a"))}) {
      ArchiveReader reader(source);
      EXPECT_ERROR(kCorrupt, "block 3 (offset 12352): stored_checksum",
                   reader.read({{0, out.data(), 16000, 0, 4000}}, threads));
      EXPECT_ERROR(kCorrupt, "block 3", reader.verify(false, threads));
      EXPECT_NO_THROW(reader.read({{0, out.data(), 4 * 3072, 0, 3072}}, threads)) << "the other blocks are whole";
      auto plan = reader.plan({{0, out.data(), 16000, 0, 4000}}, 1 << 20);
      const ReadPlan::Range& range = plan->ranges()[0];
      EXPECT_ERROR(kCorrupt, "block 3", plan->feed(0, {&archive[range.offset], range.size}, threads));
      EXPECT_ERROR(kInvalidArgument, "was not fed", plan->finish());
    }
}

TEST(Damage, GarbageIsNoArchive) {
  for (size_t n : {1, 7, 8, 64, 192, 1000})
    EXPECT_ERROR(kCorrupt, "not a mithril archive", ArchiveReader(source_of(random_bytes(n, n))));
}

}  // namespace
}  // namespace mithril
