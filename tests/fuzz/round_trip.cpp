// Any block is encoded to no more bytes than it has, the same under every instruction set, with a table that the reader
// accepts, and decodes to what it was.
//
// Input: dtype u8 (number in kDTypes), zstd_level u8, flags u8 (1: split; from 240: up to 192 KiB, else 8), elements
// u32, pattern u8, seed u8, run u8, stride u8, mask u8, and bytes that change the pattern: of every stride-th byte, the
// bits in the mask, each of the bytes `run` times.
#include <algorithm>
#include <iterator>

#include "csrc/base/checksum.h"
#include "csrc/codec/codec.h"
#include "tests/cpp/support/samples.h"
#include "tests/fuzz/target.h"

using namespace mithril;

static Exact block_of(Input& input, const DTypeInfo& dtype, uint64_t elements) {
  Pattern pattern = kPatterns[input.u8() % std::size(kPatterns)];
  Bytes values = sample(dtype, pattern, elements, input.u8());
  Exact raw(ByteView{values.data(), values.size()});
  uint64_t run = input.u8() + 1u, stride = input.u8() + 1u;
  uint8_t mask = input.u8();
  ByteView changes = input.rest();
  for (uint64_t i = 0; changes.size && i < raw.size(); i += stride)
    raw.data()[i] ^= static_cast<uint8_t>(changes.data[i / stride / run % changes.size] & mask);
  return raw;
}

// By way of its bytes, so that the reader's checks are made. `entry` becomes that of a tensor of this one block.
static Table table_of(const EncodedBlock& block, Entry& entry) {
  Table table;
  table.block_elements = entry.numel();
  table.recipes = {block.recipe};
  table.streams.assign(block.streams.begin(), block.streams.begin() + block.recipe.planes.count);
  table.blocks = {{block.stored_size, block.stored_checksum, block.raw_checksum, 0, 0, 0}};
  entry.frame_offset = 64, entry.table_offset = (64 + block.stored_size + 63) / 64 * 64;
  entry.content_id = tensor_content_id(entry, table.block_elements, table.raw_checksums());
  std::vector<uint8_t> bytes = write_table(table);
  return read_table({bytes.data(), bytes.size()}, entry, "fuzz");
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Scratch scratch;
  Input input(data, size);
  const DTypeInfo& dtype = kDTypes[input.u8() % std::size(kDTypes)];
  EncoderOptions options;
  options.zstd_level = 1 + input.u8() % 22;
  uint8_t flags = input.u8();
  options.split = flags & 1;
  uint64_t limit = (flags < 240 ? 8 << 10 : 192 << 10) / dtype.element_bytes, elements = 1 + input.u32() % limit;
  options.check();

  Exact raw = block_of(input, dtype, elements), expected(0);
  under_each_isa([&](bool first) {
    Exact out(encoded_capacity(raw.size()));
    EncodedBlock block = encode_block(raw.data(), elements, dtype, options, scratch, out.data());
    expect(block.stored_size <= raw.size(), "a block does not grow");
    Exact stored(ByteView{block.data, block.stored_size}), back(raw.size(), 0xff);
    if (first) expected = Exact(stored.view());
    expect(stored == expected, "every instruction set encodes the same");
    Entry entry;
    entry.dtype = dtype.dtype, entry.dims = {elements}, entry.dim_order = {0};
    Table table = table_of(block, entry);
    decode_block(table, 0, stored.view(), dtype, elements, back.data(), scratch, "fuzz");
    expect(back == raw, "a block decodes to what it was");
  });
  return 0;
}
