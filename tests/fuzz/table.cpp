// Tables and blocks with valid checksums: read_table, then decode_block for all blocks.
//
// Input: dtype u8 (number in kDTypes), flags u8, elements u32, table_size u16, the table with its checksum, the stored
// bytes of the blocks without padding. Checksums, content id and table_offset are computed here; flag 1: table_offset
// is what the first 8 stored bytes say.
#include <algorithm>
#include <iterator>
#include <vector>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/codec/codec.h"
#include "tests/fuzz/target.h"

using namespace mithril;

static constexpr uint64_t kMaxRaw = 64 << 10;  // larger blocks are not decoded: too slow

template <class T>
static T load(Exact& bytes, uint64_t at) {
  T value = 0;
  if (at + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// Walks the records of docs/format.md 3 as far as they make sense. Returns the stored bytes of the blocks.
static std::vector<ByteView> repair(Exact& table, Input& stored, Entry& entry) {
  if (table.size() < 48) return {};
  uint64_t end = table.size() - 8, at = 40, recipe_count = load<uint64_t>(table, 24);
  std::vector<uint64_t> plane_counts, raw_checksums;
  for (; plane_counts.size() < recipe_count && at + 8 <= end; at += 8 + 4 * plane_counts.back())
    plane_counts.push_back(load<uint16_t>(table, at + 4));
  std::vector<ByteView> blocks;
  while (at + 32 <= end) {
    uint64_t size = load<uint64_t>(table, at), recipe = load<uint16_t>(table, at + 24);
    ByteView block = size <= kMaxBlockBytes ? stored.bytes(size) : ByteView{};
    if (block.size != size || recipe >= plane_counts.size()) break;
    blocks.push_back(block);
    raw_checksums.push_back(load<uint64_t>(table, at + 16));
    uint64_t sum = xxh3_64(block.data, block.size);
    std::memcpy(table.data() + at + 8, &sum, sizeof sum);
    entry.table_offset = align64(entry.table_offset + size);
    at += 32 + 16 * plane_counts[recipe];
  }
  entry.content_id = tensor_content_id(entry, load<uint64_t>(table, 8), raw_checksums);
  uint64_t sum = xxh3_64(table.data(), end);
  std::memcpy(table.data() + end, &sum, sizeof sum);
  return blocks;
}

static void check_block(Table& table, uint64_t number, ByteView bytes, const DTypeInfo& dtype, uint64_t elements) {
  static Scratch scratch;
  uint64_t raw_bytes = elements * dtype.element_bytes;
  if (raw_bytes > kMaxRaw) return;
  // Nobody knows the raw checksum yet: what is decoded first says it.
  Exact stored(bytes), raw(raw_bytes);
  bool only_checksum = false;
  try {
    decode_block(table, number, stored.view(), dtype, elements, raw.data(), scratch, "fuzz");
  } catch (const Error& e) {
    only_checksum = std::strstr(e.what(), "raw_checksum") != nullptr;
  }
  table.blocks[number].raw_checksum = xxh3_64(raw.data(), raw.size());
  under_each_isa([&](bool) {
    Exact out(raw_bytes, 0xff);
    bool decoded =
        succeeds([&] { decode_block(table, number, stored.view(), dtype, elements, out.data(), scratch, "fuzz"); });
    expect(!only_checksum || decoded, "a block decodes every time, and under every instruction set");
    expect(!decoded || out == raw, "a block decodes to the same bytes every time");
  });
  if (only_checksum && is_stored_raw(table, number))  // in place
    decode_block(table, number, stored.view(), dtype, elements, stored.data(), scratch, "fuzz");
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const DTypeInfo& dtype = kDTypes[input.u8() % std::size(kDTypes)];
  uint8_t flags = input.u8();
  Entry entry;
  entry.dtype = dtype.dtype;
  entry.dims = {input.u32()};
  entry.dim_order = {0};
  entry.frame_offset = entry.table_offset = 64;
  Exact bytes(input.bytes(input.u16()));
  uint64_t far = flags & 1 ? input.u64() : 0;
  std::vector<ByteView> blocks = repair(bytes, input, entry);
  if (flags & 1) entry.table_offset = 64 + (far >> 2 & ~uint64_t{63});
  entry.table_size = bytes.size();

  Table table;
  if (!succeeds([&] { table = read_table(bytes.view(), entry, "fuzz"); })) return 0;
  expect(table.blocks.size() == blocks.size(), "the table has the blocks that were found here");
  for (uint64_t i = 0; i < blocks.size(); i++) {
    expect(table.blocks[i].stored_size == blocks[i].size, "the table has the sizes that were found here");
    uint64_t elements = std::min(table.block_elements, entry.numel() - i * table.block_elements);
    check_block(table, i, blocks[i], dtype, elements);
  }
  return 0;
}
