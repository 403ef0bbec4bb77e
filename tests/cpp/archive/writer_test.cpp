#include "csrc/archive/writer.h"

#include <cerrno>

#include "csrc/base/checksum.h"
#include "csrc/base/parallel.h"
#include "csrc/format/header.h"
#include "tests/cpp/support/archives.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/scoped.h"

namespace mithril {
namespace {

const Metadata kMetadata = {{"", ""}, {"a", "ü"}, {"mithril.kind", "test"}};

// More than one batch.
std::vector<Tensor> large() {
  return {make_tensor("a", DType::kBFloat16, {5 << 20}, Pattern::kGaussian),
          make_tensor("b", DType::kUInt8, {(9 << 20) + 1}, Pattern::kRandom),
          make_tensor("c", DType::kInt32, {7}, Pattern::kCounter)};
}

TEST(Writer, TheSmallestArchive) {  // its two elements are stored raw
  Tensor w{"w", EntryKind::kTensor, DType::kBFloat16, {2}, {0x80, 0x3f, 0xc0, 0xbf}, 0};
  Bytes archive = write_archive({w});
  ASSERT_EQ(archive.size(), 512u);
  EXPECT_TRUE(archive[8] == kMajor && archive[10] == kMinor);
  EXPECT_EQ(Bytes(&archive[0x40], &archive[0x45]), (Bytes{0x80, 0x3f, 0xc0, 0xbf, 0x00}));
}

TEST(Writer, EveryStructureBeginsAtAMultipleOf64) {
  ArchiveReader reader(source_of(write_archive(some_of_everything(), kMetadata, kSmallBlocks)));
  for (size_t i = 0; i < reader.entries().size(); i++) {
    const Entry& e = reader.entries()[i];
    if (e.kind == EntryKind::kAlias) continue;
    EXPECT_EQ(e.frame_offset % 64 + e.table_offset % 64, 0u);
    for (const BlockRecord& b : reader.table(i).blocks) EXPECT_EQ(b.offset % 64, 0u);
  }
  EXPECT_EQ(reader.archive_size() % 64, 0u);
}

TEST(Writer, PartsPiecesAndFileAreTheSameBytes) {
  for (const std::vector<Tensor>& tensors : {some_of_everything(), large(), {}}) {
    Bytes whole = write_archive(tensors, kMetadata);
    for (uint64_t size : {uint64_t{1000}, uint64_t{65537}, uint64_t{1} << 20, uint64_t{5} << 20, uint64_t{50} << 20}) {
      ArchiveWriter writer({}, 2);
      for (const Tensor& t : tensors) add(writer, t);
      writer.finish(kMetadata);
      Bytes parts;
      while (std::optional<Part> part = writer.next_part(size)) {
        parts.insert(parts.end(), part->buffer->data(), part->buffer->data() + part->size);
        EXPECT_TRUE(part->size == size || parts.size() == whole.size());
      }
      EXPECT_TRUE(parts == whole) << "parts of " << size;
      EXPECT_EQ(writer.archive_size(), whole.size());
      EXPECT_TRUE(writer.content_id() == ArchiveReader(source_of(whole)).content_id());
    }
    for (int threads : {1, 2}) {
      ScopedFolder folder;
      ArchiveWriter writer({}, threads);
      for (const Tensor& t : tensors) add(writer, t);
      writer.finish(kMetadata);
      OutputFile file(folder / "a", false, false);
      writer.drain(file);
      EXPECT_EQ(file.bytes_written(), whole.size());
      file.commit();
      EXPECT_TRUE(read_file<Bytes>(folder / "a") == whole);
    }
  }
}

TEST(Writer, PartsOfAnySizeOfASmallArchive) {
  std::vector<Tensor> tensors = {make_tensor("a", DType::kFloat32, {100}, Pattern::kGaussian), make_alias("b", 0)};
  Bytes whole = write_archive(tensors);
  for (uint64_t size = 1; size <= whole.size() + 1; size += size < 70 ? 1 : 61) {
    ArchiveWriter writer({}, 1);
    for (const Tensor& t : tensors) add(writer, t);
    writer.finish({});
    Bytes parts;
    while (std::optional<Part> part = writer.next_part(size))
      parts.insert(parts.end(), part->buffer->data(), part->buffer->data() + part->size);
    ASSERT_TRUE(parts == whole) << size;
  }
}

TEST(Writer, PullingBetweenAddsGivesTheSameBytes) {
  std::vector<Tensor> tensors = some_of_everything();
  Bytes whole = write_archive(tensors, kMetadata), bytes;
  ArchiveWriter writer({}, 1);
  auto take = [&](const std::vector<Piece>& pieces) {
    Bytes more = joined(pieces);
    bytes.insert(bytes.end(), more.begin(), more.end());
  };
  for (size_t i = 0; i < tensors.size(); i++) {
    add(writer, tensors[i]);
    EXPECT_EQ(writer.pending_bytes() == 0, tensors[i].bytes.empty());
    while (std::optional<Part> part = writer.next_part(777))
      bytes.insert(bytes.end(), part->buffer->data(), part->buffer->data() + part->size);
    if (i % 2) take(writer.next_pieces());
    EXPECT_EQ(writer.pending_bytes(), 0u);
  }
  EXPECT_ERROR(kInvalidArgument, "content_id", writer.content_id());
  writer.finish(kMetadata);
  for (std::vector<Piece> p = writer.next_pieces(); !p.empty(); p = writer.next_pieces()) take(p);
  EXPECT_TRUE(bytes == whole);
  EXPECT_TRUE(writer.next_pieces().empty());
  EXPECT_FALSE(writer.next_part(10).has_value());
}

TEST(Writer, SeveralDrainsToOneFile) {
  ScopedFolder folder;
  OutputFile file(folder / "a", false, false);
  ArchiveWriter writer({}, 2);
  for (const Tensor& t : large()) add(writer, t), writer.drain(file);
  writer.finish({});
  writer.drain(file);
  writer.drain(file);  // nothing left
  file.commit();
  EXPECT_TRUE(read_file<Bytes>(folder / "a") == write_archive(large()));
}

TEST(Writer, ArchiveOfOneTensor) {
  for (Pattern pattern : {Pattern::kGaussian, Pattern::kRandom}) {  // pieces in arenas, and in the tensor itself
    Tensor t = make_tensor("", DType::kBFloat16, {5 << 20}, pattern);
    auto keeper = std::make_shared<Bytes>(t.bytes);
    TensorView view{keeper->data(), t.dtype, t.dims, {0}, keeper};
    keeper.reset();
    Guarded out(archive_bound(view.numel(), info(t.dtype), {}));
    uint64_t size = encode_tensor(std::move(view), {}, 2, out.data());
    EXPECT_TRUE(out.intact());
    EXPECT_TRUE(Bytes(out.data(), out.data() + size) == write_archive({t}));
  }
}

TEST(Writer, RecipesInTheOrderOfTheirFirstUse) {  // in whichever batch
  for (uint64_t elements : {8192, 8 << 20}) {
    Tensor t = make_tensor("t", DType::kBFloat16, {elements}, Pattern::kGaussian);
    std::fill(t.bytes.end() - 4096, t.bytes.end(), 0);  // a constant block: identity, id 0
    ArchiveReader reader(source_of(write_archive({t}, {}, kSmallBlocks, 2)));
    const Table& table = reader.table(0);
    ASSERT_GE(table.recipes.size(), 2u);
    uint32_t known = 0;
    for (const BlockRecord& b : table.blocks) {
      ASSERT_LE(b.recipe, known);
      known += b.recipe == known;
    }
    EXPECT_EQ(known, table.recipes.size());
    EXPECT_EQ(table.recipes.front().transform, Transform::kFloatKeys);
    EXPECT_EQ(table.recipes.back().transform, Transform::kIdentity);
    for (size_t i = 0; i < table.recipes.size(); i++)
      for (size_t k = 0; k < i; k++) EXPECT_FALSE(table.recipes[i] == table.recipes[k]);
    expect_contents(reader, {t}, 2);
  }
}

TEST(Writer, KeepsTheOrderOfDimensions) {
  Bytes bytes = random_bytes(2 * 3 * 4 * 5 * 4, 1), out(bytes.size());
  ArchiveWriter writer({}, 1);
  writer.add("channels last", EntryKind::kTensor, {bytes.data(), DType::kFloat32, {2, 3, 4, 5}, {0, 2, 3, 1}, nullptr});
  writer.add_alias("alias", 0);
  writer.finish({});
  ArchiveReader reader(source_of(pull(writer)));
  for (uint64_t i : {0, 1}) {
    EXPECT_EQ(reader.entries()[i].dims, (std::vector<uint64_t>{2, 3, 4, 5}));
    EXPECT_EQ(reader.entries()[i].dim_order, (Bytes{0, 2, 3, 1}));
    reader.read({{i, out.data(), out.size(), 0, 120}}, 1);
    EXPECT_TRUE(out == bytes);
  }
}

TEST(Writer, ThreeHundredTinyTensors) {
  std::vector<Tensor> tensors;
  for (int i = 0; i < 300; i++)
    tensors.push_back(
        make_tensor("t" + std::to_string(i), kDTypes[i % 22].dtype, {static_cast<uint64_t>(i % 5)}, Pattern::kRandom));
  Bytes archive = write_archive(tensors, {}, {}, 2);
  expect_contents(ArchiveReader(source_of(archive)), tensors, 2);
}

TEST(Writer, MoreBlocksThanABatchHolds) {
  std::vector<Tensor> tensors(5000);
  for (size_t i = 0; i < tensors.size(); i++)
    tensors[i] = {std::to_string(i), EntryKind::kTensor, DType::kInt8, {1}, {static_cast<uint8_t>(i)}, 0};
  expect_contents(ArchiveReader(source_of(write_archive(tensors, {}, {}, 2))), tensors);
}

TEST(Writer, BlocksStoredRawAreNotCopied) {
  Bytes bytes = random_bytes(20 << 20, 1);
  ArchiveWriter writer({}, 1);
  writer.add("a", EntryKind::kTensor, {bytes.data(), DType::kUInt8, {bytes.size()}, {0}, nullptr});
  uint64_t in_place = 0, most = 0;
  for (std::vector<Piece> pieces = writer.next_pieces(); !pieces.empty(); pieces = writer.next_pieces()) {
    uint64_t batch = 0;
    for (const Piece& p : pieces) {
      batch += p.size;
      if (p.data >= bytes.data() && p.data < bytes.data() + bytes.size()) in_place += p.size;
    }
    most = std::max(most, batch);
  }
  EXPECT_EQ(in_place, bytes.size());
  EXPECT_LE(most, 10u << 20) << "a batch at a time";
}

TEST(Writer, KeeperLivesUntilItsBytesArePulled) {
  auto keeper = std::make_shared<Bytes>(random_bytes(1000, 1));
  std::weak_ptr<Bytes> alive = keeper;
  ArchiveWriter writer({}, 1);
  TensorView view{keeper->data(), DType::kUInt8, {1000}, {0}, keeper};
  keeper.reset();
  writer.add("a", EntryKind::kTensor, std::move(view));
  EXPECT_FALSE(alive.expired());
  std::vector<Piece> pieces = writer.next_pieces();
  EXPECT_FALSE(alive.expired()) << "pieces stored raw refer to it";
  pieces.clear();
  EXPECT_TRUE(alive.expired());
}

TEST(Writer, RefusesWhatCannotBeWritten) {
  uint8_t byte = 0;
  auto view = [&](std::vector<uint64_t> dims, Bytes order) {
    return TensorView{&byte, DType::kUInt8, dims, order, nullptr};
  };
  ArchiveWriter writer({}, 1);
  writer.add("a", EntryKind::kTensor, view({1}, {0}));
  writer.add("v", EntryKind::kValue, view({1}, {0}));
  writer.add_alias("l", 0);
  auto add_view = [&](const std::string& name, const TensorView& v) { writer.add(name, EntryKind::kTensor, v); };
  EXPECT_ERROR(kInvalidArgument, "'a' is in the archive already", add_view("a", view({1}, {0})));
  EXPECT_ERROR(kInvalidArgument, "'l' is in the archive already", add_view("l", view({1}, {0})));
  EXPECT_ERROR(kInvalidArgument, "UTF-8", add_view("\xff", view({1}, {0})));
  EXPECT_ERROR(kInvalidArgument, "4097", add_view(std::string(4097, 'x'), view({1}, {0})));
  EXPECT_ERROR(kInvalidArgument, "65 dimensions", add_view("b", view(std::vector<uint64_t>(65, 1), row_major(65))));
  EXPECT_ERROR(kInvalidArgument, "dim_order", add_view("b", view({1}, {})));
  EXPECT_ERROR(kInvalidArgument, "dim_order", add_view("b", view({1}, {1})));
  EXPECT_ERROR(kInvalidArgument, "dim_order", add_view("b", view({1, 1}, {0, 0})));
  EXPECT_ERROR(kInvalidArgument, "2^63", add_view("b", view({uint64_t{1} << 63}, {0})));
  EXPECT_ERROR(kInvalidArgument, "2^63", add_view("b", view({uint64_t{1} << 63, 0}, {0, 1})));
  EXPECT_ERROR(kInvalidArgument, "uint8", writer.add("b", EntryKind::kValue, view({1, 1}, {0, 1})));
  EXPECT_ERROR(kInvalidArgument, "uint8", writer.add("b", EntryKind::kForeign, view({}, {})));
  EXPECT_ERROR(kInvalidArgument, "uint8", writer.add("b", EntryKind::kValue, {&byte, DType::kInt8, {1}, {0}, nullptr}));
  EXPECT_ERROR(kInvalidArgument, "an alias has no data", writer.add("b", EntryKind::kAlias, view({1}, {0})));
  EXPECT_ERROR(kInvalidArgument, "entry 1 is no tensor", writer.add_alias("b", 1));
  EXPECT_ERROR(kInvalidArgument, "entry 2 is no tensor", writer.add_alias("b", 2));
  EXPECT_ERROR(kInvalidArgument, "entry 9 is no tensor", writer.add_alias("b", 9));
  EXPECT_ERROR(kInvalidArgument, "already", writer.add_alias("a", 0));
  EXPECT_ERROR(kInvalidArgument, "UTF-8", writer.finish({{"k", "\xff"}}));
  EXPECT_ERROR(kInvalidArgument, "at least one byte", writer.next_part(0));
  writer.finish({});
  EXPECT_ERROR(kInvalidArgument, "finished already", writer.finish({}));
  EXPECT_ERROR(kInvalidArgument, "finished already", add_view("b", view({1}, {0})));
  EXPECT_ERROR(kInvalidArgument, "finished already", writer.add_alias("b", 0));
  Bytes archive = pull(writer);
  EXPECT_EQ(ArchiveReader(source_of(archive)).entries().size(), 3u) << "what was refused left no trace";
  EXPECT_ERROR(kInvalidArgument, "zstd_level", ArchiveWriter({0}, 1));
}

TEST(Writer, WriteErrorsSurface) {
  ScopedFolder folder;
  ScopedFileLimit limit(1 << 20);
  for (int threads : {1, 2}) {
    OutputFile file(folder / "a", false, false);
    ArchiveWriter writer({}, threads);
    for (const Tensor& t : large()) add(writer, t);
    writer.add("d", EntryKind::kTensor, {std::make_shared<Bytes>(1)->data(), DType::kUInt8, {0}, {0}, nullptr});
    writer.finish({});
    try {
      writer.drain(file);
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kIo);
      EXPECT_EQ(e.code(), EFBIG);
      EXPECT_EQ(e.path(), folder / "a");
    }
  }
  EXPECT_EQ(folder.files(), 0u);
}

TEST(Writer, BadThreadVariableSurfaces) {
  ScopedEnv threads("MITHRIL_NUM_THREADS", "many");
  EXPECT_ERROR(kInvalidArgument, "MITHRIL_NUM_THREADS=many", ArchiveWriter({}, 0));
}

}  // namespace
}  // namespace mithril
