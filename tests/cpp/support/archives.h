// Archives in memory: written from tensors, read back, compared.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <string>

#include "csrc/archive/reader.h"
#include "csrc/archive/writer.h"
#include "tests/cpp/support/samples.h"

namespace mithril {

struct Tensor {
  std::string name;
  EntryKind kind = EntryKind::kTensor;  // kAlias: `target` is all that counts
  DType dtype = DType::kUInt8;
  std::vector<uint64_t> dims;
  Bytes bytes;
  uint64_t target = 0;
};

inline Tensor make_tensor(std::string name, DType dtype, std::vector<uint64_t> dims, Pattern pattern) {
  Tensor t{std::move(name), EntryKind::kTensor, dtype, std::move(dims), {}, 0};
  t.bytes = sample(info(dtype), pattern, TensorView::count(t.dims), t.name.size() + static_cast<uint64_t>(dtype));
  return t;
}

inline Tensor make_value(std::string name, EntryKind kind, const std::string& text) {
  return {std::move(name), kind, DType::kUInt8, {text.size()}, Bytes(text.begin(), text.end()), 0};
}

inline Tensor make_alias(std::string name, uint64_t target) {
  Tensor t{std::move(name), EntryKind::kAlias, DType::kUInt8, {}, {}, target};
  return t;
}

inline void add(ArchiveWriter& writer, const Tensor& t) {
  if (t.kind == EntryKind::kAlias) {
    writer.add_alias(t.name, t.target);
    return;
  }
  auto keeper = std::make_shared<Bytes>(t.bytes);
  writer.add(t.name, t.kind, {keeper->data(), t.dtype, t.dims, row_major(t.dims.size()), keeper});
}

inline Bytes joined(const std::vector<Piece>& pieces) {
  Bytes bytes;
  for (const Piece& p : pieces) bytes.insert(bytes.end(), p.data, p.data + p.size);
  return bytes;
}

inline Bytes pull(ArchiveWriter& writer) {
  Bytes bytes;
  for (std::vector<Piece> pieces = writer.next_pieces(); !pieces.empty(); pieces = writer.next_pieces()) {
    Bytes more = joined(pieces);
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  return bytes;
}

using Metadata = std::map<std::string, std::string>;

inline Bytes write_archive(const std::vector<Tensor>& tensors, const Metadata& metadata = {},
                           const EncoderOptions& options = {}, int threads = 1) {
  ArchiveWriter writer(options, threads);
  for (const Tensor& t : tensors) add(writer, t);
  writer.finish(metadata);
  return pull(writer);
}

inline std::shared_ptr<MemorySource> source_of(Bytes bytes) {
  auto keeper = std::make_shared<Bytes>(std::move(bytes));
  return std::make_shared<MemorySource>(ByteView{keeper->data(), keeper->size()}, keeper);
}

// The raw bytes of every entry.
inline std::vector<Bytes> read_all(const ArchiveReader& reader, int threads = 1) {
  std::vector<Bytes> contents;
  std::vector<ReadRequest> requests;
  for (const Entry& e : reader.entries()) contents.emplace_back(e.raw_size());
  for (size_t i = 0; i < contents.size(); i++)
    requests.push_back({i, contents[i].data(), contents[i].size(), 0, reader.entries()[i].numel()});
  reader.read(requests, threads);
  return contents;
}

inline void expect_contents(const ArchiveReader& reader, const std::vector<Tensor>& tensors, int threads = 1) {
  ASSERT_EQ(reader.entries().size(), tensors.size());
  std::vector<Bytes> contents = read_all(reader, threads);
  for (size_t i = 0; i < tensors.size(); i++) {
    const Entry& e = reader.entries()[i];
    const Tensor& t = tensors[i].kind == EntryKind::kAlias ? tensors[tensors[i].target] : tensors[i];
    SCOPED_TRACE(tensors[i].name);
    EXPECT_EQ(reader.find(tensors[i].name), i);
    EXPECT_EQ(e.name, tensors[i].name);
    EXPECT_TRUE(e.kind == tensors[i].kind && e.dtype == t.dtype && e.dims == t.dims);
    EXPECT_TRUE(e.dim_order == row_major(t.dims.size()));
    EXPECT_TRUE(contents[i] == t.bytes);
  }
}

// A bit of everything; blocks of 4 KiB make several of them in a few tensors.
inline const EncoderOptions kSmallBlocks{3, true, 4096};

inline std::vector<Tensor> some_of_everything() {
  std::vector<Tensor> tensors = {make_tensor("scalar", DType::kFloat32, {}, Pattern::kRandom),
                                 make_tensor("empty", DType::kFloat64, {3, 0, 2}, Pattern::kZeros),
                                 make_tensor("", DType::kBool, {1}, Pattern::kCounter),
                                 make_alias("alias of scalar", 0),
                                 make_value("value", EntryKind::kValue, "{\"$tuple\":[1,2]}"),
                                 make_value("empty value", EntryKind::kValue, ""),
                                 make_value("pickle", EntryKind::kForeign, std::string("\x80\x04N.", 4))};
  for (const DTypeInfo& d : kDTypes)
    tensors.push_back(make_tensor("mixed " + std::string(d.name), d.dtype, {11, 13, 29}, Pattern::kMixed));
  for (Pattern pattern : kPatterns)
    tensors.push_back(
        make_tensor("bf16 " + std::to_string(static_cast<int>(pattern)), DType::kBFloat16, {4096}, pattern));
  tensors.push_back(make_alias("again", tensors.size() - 1));
  tensors.push_back(make_alias("alias of empty", 1));
  return tensors;
}

}  // namespace mithril
