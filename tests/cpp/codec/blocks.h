// Blocks alone: a table of one of them, and the way there and back.
#pragma once
#include "csrc/base/checksum.h"
#include "csrc/codec/codec.h"
#include "csrc/transform/transform.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {

inline Table table_of(const EncodedBlock& b, uint64_t elements) {
  Table t;
  t.block_elements = elements;
  t.recipes = {b.recipe};
  t.streams.assign(b.streams.begin(), b.streams.begin() + b.recipe.planes.count);
  t.blocks = {{b.stored_size, b.stored_checksum, b.raw_checksum, 0, 0, 0}};
  return t;
}

// By way of its bytes, so that the reader's checks are made.
inline Table read_back(const EncodedBlock& b, uint64_t elements, const DTypeInfo& dtype) {
  Entry entry;
  entry.dtype = dtype.dtype, entry.dims = {elements}, entry.dim_order = {0};
  entry.frame_offset = 64, entry.table_offset = (64 + b.stored_size + 63) / 64 * 64;
  entry.content_id = tensor_content_id(entry, elements, {b.raw_checksum});
  Bytes bytes = write_table(table_of(b, elements));
  return read_table({bytes.data(), bytes.size()}, entry, "a");
}

// Encodes, decodes to an odd address, compares.
inline EncodedBlock encode_and_back(const Bytes& raw, const DTypeInfo& d, const EncoderOptions& options,
                                    Scratch& scratch) {
  uint64_t elements = raw.size() / d.element_bytes;
  Guarded out(encoded_capacity(raw.size())), back(raw.size());
  EncodedBlock b = encode_block(raw.data(), elements, d, options, scratch, out.data());
  EXPECT_TRUE(out.intact());
  EXPECT_LE(b.stored_size, raw.size());
  EXPECT_EQ(b.raw_checksum, xxh3_64(raw.data(), raw.size()));
  EXPECT_EQ(b.stored_checksum, xxh3_64(b.data, b.stored_size));
  EXPECT_TRUE(b.recipe.planes == planes_of(b.recipe.transform, d, b.recipe.parameter));
  Table t = read_back(b, elements, d);
  EXPECT_EQ(is_stored_raw(t, 0), b.data == raw.data()) << "raw blocks are not copied";
  EXPECT_TRUE(b.data == raw.data() || b.stored_size < raw.size());
  Bytes stored(b.data, b.data + b.stored_size);
  stored.shrink_to_fit();
  decode_block(t, 0, {stored.data(), stored.size()}, d, elements, back.data(), scratch, "a");
  EXPECT_TRUE(back.intact());
  EXPECT_TRUE(std::equal(raw.begin(), raw.end(), back.data()));
  EncodedBlock again = encode_block(raw.data(), elements, d, options, scratch, out.data());
  EXPECT_TRUE(again.stored_size == b.stored_size && again.stored_checksum == b.stored_checksum);
  b.data = nullptr;  // they are gone
  return b;
}

}  // namespace mithril
