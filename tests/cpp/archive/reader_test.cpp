#include "csrc/archive/reader.h"

#include <thread>

#include "tests/cpp/support/archives.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/scoped.h"

namespace mithril {
namespace {

// In memory, from a file, and from memory that cannot be mapped: the three ways to read.
class CopyingSource : public MemorySource {
 public:
  using MemorySource::MemorySource;
  const uint8_t* map(uint64_t, uint64_t) const override { return nullptr; }
  void read(uint64_t offset, uint64_t size, uint8_t* to) const override {
    std::memcpy(to, MemorySource::map(offset, size), size);
  }
};

enum class Way { kMemory, kFile, kCopies };

class ReaderTest : public testing::TestWithParam<Way> {
 protected:
  std::shared_ptr<const ByteSource> source(const Bytes& archive) {
    if (GetParam() == Way::kMemory) return source_of(archive);
    if (GetParam() == Way::kCopies)
      return std::make_shared<CopyingSource>(ByteView{archive.data(), archive.size()}, nullptr);
    std::string path = folder_ / ("a" + std::to_string(folder_.files()));
    write_file(path, archive);
    return std::make_shared<FileSource>(path);
  }

 private:
  ScopedFolder folder_;
};

TEST_P(ReaderTest, ReadsWhatWasWritten) {
  Metadata metadata = {{"k", "v"}, {"l", std::string(100000, 'x')}};  // the index is longer than the first read
  for (const Metadata& m : {Metadata{}, metadata}) {
    Bytes archive = write_archive(some_of_everything(), m, kSmallBlocks);
    ArchiveReader reader(source(archive));
    EXPECT_TRUE(reader.metadata() == m);
    EXPECT_EQ(reader.archive_size(), archive.size());
    for (int threads : {1, 2}) expect_contents(reader, some_of_everything(), threads);
    EXPECT_EQ(reader.verify(false, 2).blocks_decoded, 0u);
    EXPECT_GT(reader.verify(true, 2).blocks_decoded, 100u);
    EXPECT_ERROR(kNotFound, "there is no 'nobody'", reader.find("nobody"));
  }
}

TEST_P(ReaderTest, DefaultBlocksAndLargeTensors) {
  std::vector<Tensor> tensors = {make_tensor("r", DType::kUInt8, {(2 << 20) + 5}, Pattern::kRandom),
                                 make_tensor("g", DType::kBFloat16, {3 << 20}, Pattern::kGaussian)};
  Bytes archive = write_archive(tensors);
  ArchiveReader reader(source(archive));
  expect_contents(reader, tensors, 2);
}

TEST_P(ReaderTest, NoEntries) {
  Bytes archive = write_archive({}, {{"only", "metadata"}});
  ArchiveReader reader(source(archive));
  EXPECT_TRUE(reader.entries().empty());
  EXPECT_EQ(reader.read({}, 2).blocks_decoded, 0u);
  EXPECT_EQ(reader.verify(true, 1).blocks_decoded, 0u);
  EXPECT_ERROR(kInvalidArgument, "there is no entry 0", reader.table(0));
}

constexpr uint64_t kElements = 4000, kPerBlock = 1024;  // int32, blocks of 4 KiB; of more, random ones grow

TEST_P(ReaderTest, RangesDecodeTheirBlocksOnly) {
  for (Pattern pattern : {Pattern::kCounter, Pattern::kRandom}) {  // coded, and raw
    Tensor t = make_tensor("t", DType::kInt32, {kElements}, pattern);
    Bytes archive = write_archive({t}, {}, kSmallBlocks);
    ArchiveReader reader(source(archive));
    for (uint64_t begin : {0ul, 1ul, 1023ul, 1024ul, 1025ul, 2500ul, 3999ul, 4000ul})
      for (uint64_t size : {0ul, 1ul, 2ul, 1023ul, 1024ul, 1025ul, 3000ul, 4000ul}) {
        if (begin + size > kElements) continue;
        SCOPED_TRACE(testing::Message() << begin << " + " << size);
        Guarded out(size * 4);
        ReadStats stats = reader.read({{0, out.data(), out.size(), begin, begin + size}}, 2);
        uint64_t blocks = size ? (begin + size - 1) / kPerBlock - begin / kPerBlock + 1 : 0;
        EXPECT_EQ(stats.blocks_decoded, blocks);
        EXPECT_TRUE(out.intact());
        EXPECT_TRUE(std::equal(out.data(), out.data() + out.size(), &t.bytes[0] + begin * 4));
      }
  }
}

TEST_P(ReaderTest, BytesReadAreThoseOfTheBlocks) {
  Tensor t = make_tensor("t", DType::kInt32, {kElements}, Pattern::kRandom);
  Bytes archive = write_archive({t}, {}, kSmallBlocks);
  ArchiveReader reader(source(archive));
  Bytes out(4);
  uint64_t first = reader.read({{0, out.data(), 4, 0, 1}}, 1).bytes_read;
  uint64_t second = reader.read({{0, out.data(), 4, 0, 1}}, 1).bytes_read;
  EXPECT_EQ(second, 4096u);
  EXPECT_EQ(first, second + reader.entries()[0].frame_end() - reader.entries()[0].table_offset) << "the table, once";
}

TEST_P(ReaderTest, RandomRequestsThatOverlap) {
  std::vector<Tensor> tensors = {make_tensor("a", DType::kInt32, {kElements}, Pattern::kMixed),
                                 make_tensor("b", DType::kBFloat16, {kElements}, Pattern::kGaussian),
                                 make_alias("c", 0), make_tensor("d", DType::kUInt8, {kElements}, Pattern::kRandom),
                                 make_tensor("e", DType::kComplex128, {0}, Pattern::kZeros)};
  Bytes archive = write_archive(tensors, {}, kSmallBlocks);
  ArchiveReader reader(source(archive));
  Random random(7);
  for (int round = 0; round < 60; round++) {
    std::vector<ReadRequest> requests;
    std::vector<Guarded> outs;
    for (uint64_t i = 0, n = random.below(12); i < n; i++) {
      ReadRequest r;
      r.entry = random.below(tensors.size());
      const Entry& e = reader.entries()[r.entry];
      uint64_t x = random.below(e.numel() + 1), y = random.below(e.numel() + 1);
      if (i % 3 == 0 && e.numel()) x -= x % 256, y = std::min(e.numel(), x + 2048);  // whole blocks
      r.begin = std::min(x, y), r.end = std::max(x, y), r.out_bytes = (r.end - r.begin) * info(e.dtype).element_bytes;
      requests.push_back(r);
      outs.emplace_back(r.out_bytes, round % 8);
    }
    std::vector<bool> wanted(2000);
    uint64_t blocks = 0;
    for (size_t i = 0; i < requests.size(); i++) {
      ReadRequest& r = requests[i];
      r.out = outs[i].data();
      uint64_t entry = r.entry == 2 ? 0 : r.entry, per_block = reader.table(entry).block_elements;
      for (uint64_t b = r.begin / per_block; b * per_block < r.end && r.begin < r.end; b++)
        if (!wanted[entry * 300 + b]) wanted[entry * 300 + b] = true, blocks++;
    }
    if (round % 2) {
      EXPECT_EQ(reader.read(requests, 2).blocks_decoded, blocks);
    } else {  // the same by hand: ranges fetched by the caller, in any order
      uint64_t max_range = uint64_t{1} << (10 + round % 12);
      auto plan = reader.plan(requests, max_range);
      uint64_t before = 0;
      for (size_t k = plan->ranges().size(); k-- > 0;) {
        const ReadPlan::Range& range = plan->ranges()[k];
        EXPECT_TRUE(range.size <= max_range || range.end_job == range.first_job + 1);
        EXPECT_TRUE(before == 0 || range.offset + range.size <= before) << "ranges do not overlap";
        before = range.offset;
        plan->feed(k, {&archive[range.offset], range.size}, 1 + round % 2);
        if (k % 2) plan->feed(k, {&archive[range.offset], range.size}, 1);  // twice is counted once
      }
      EXPECT_EQ(plan->finish().blocks_decoded, blocks);
    }
    for (size_t i = 0; i < requests.size(); i++) {
      const ReadRequest& r = requests[i];
      const Bytes& whole = tensors[r.entry == 2 ? 0 : r.entry].bytes;
      uint64_t width = info(reader.entries()[r.entry].dtype).element_bytes;
      ASSERT_TRUE(outs[i].intact());
      ASSERT_TRUE(std::equal(r.out, r.out + r.out_bytes, whole.data() + r.begin * width))
          << "request " << i << " of round " << round;
    }
  }
}

TEST_P(ReaderTest, FromSeveralThreadsAtOnce) {
  Bytes archive = write_archive(some_of_everything(), {}, kSmallBlocks);
  ArchiveReader reader(source(archive));
  auto work = [&] { expect_contents(reader, some_of_everything(), 2); };
  std::thread other(work);
  work();
  other.join();
}

TEST_P(ReaderTest, RefusesBadRequests) {
  Bytes archive = write_archive({make_tensor("a", DType::kInt32, {10}, Pattern::kCounter)}), out(100);
  ArchiveReader reader(source(archive));
  auto read = [&](ReadRequest r) { reader.read({r}, 1); };
  EXPECT_ERROR(kInvalidArgument, "there is no entry 1", read({1, out.data(), 0, 0, 0}));
  EXPECT_ERROR(kInvalidArgument, "elements 5 to 4 of 10", read({0, out.data(), 4, 5, 4}));
  EXPECT_ERROR(kInvalidArgument, "elements 5 to 11 of 10", read({0, out.data(), 24, 5, 11}));
  EXPECT_ERROR(kInvalidArgument, "output of 39 bytes for 40", read({0, out.data(), 39, 0, 10}));
  auto plan = reader.plan({{0, out.data(), 40, 0, 10}}, 1 << 20);
  ASSERT_EQ(plan->ranges().size(), 1u);
  EXPECT_ERROR(kInvalidArgument, "range 0 was not fed", plan->finish());
  EXPECT_ERROR(kInvalidArgument, "there is no range 1", plan->feed(1, {archive.data(), 1}, 1));
  EXPECT_ERROR(kInvalidArgument, "bytes, not 1", plan->feed(0, {archive.data(), 1}, 1));
}

INSTANTIATE_TEST_SUITE_P(From, ReaderTest, testing::Values(Way::kMemory, Way::kFile, Way::kCopies), [](const auto& i) {
  return std::string(i.param == Way::kMemory ? "memory" : i.param == Way::kFile ? "file" : "copies");
});

TEST(Reader, AFileCutShortWhileOpen) {
  ScopedFolder folder;
  Bytes archive = write_archive({make_tensor("a", DType::kUInt8, {100000}, Pattern::kRandom)});
  write_file(folder / "a", archive);
  ArchiveReader reader(std::make_shared<FileSource>(folder / "a"));
  reader.table(0);
  std::filesystem::resize_file(folder / "a", 5000);
  EXPECT_ERROR(kTruncated, "ends at offset 5000", read_all(reader, 2));
  EXPECT_ERROR(kTruncated, "ends at offset", reader.verify(false, 1));
}

}  // namespace
}  // namespace mithril
