#include <algorithm>
#include <array>

#include "csrc/base/checksum.h"
#include "csrc/codec/codec.h"
#include "csrc/transform/transform.h"

namespace mithril {

static std::string block_name(const std::string& name, uint64_t number, const BlockRecord& block) {
  return name + ": block " + std::to_string(number) + " (offset " + std::to_string(block.offset) + ")";
}

Table read_table(ByteView bytes, const Entry& entry, const std::string& name) {
  const DTypeInfo& dtype = info(entry.dtype);
  uint64_t elements = entry.numel();
  Table table = read_table(
      bytes, entry.table_offset, entry.frame_offset, elements, dtype.element_bytes,
      [&](Transform transform) { return planes_of(transform, dtype); }, name);
  for (uint64_t i = 0; i < table.blocks.size(); i++) {
    const BlockRecord& b = table.blocks[i];
    const Recipe& r = table.recipes[b.recipe];
    uint64_t symbols =
        symbols_of(r.transform, dtype, std::min(table.block_elements, elements - i * table.block_elements));
    for (uint32_t k = 0; k < r.planes.count; k++)
      if (table.streams[b.first_stream + k].size > raw_stream_size(symbols, r.planes.symbol_bits[k]))
        throw_corrupt(block_name(name, i, b) + ": stream_size " +
                      std::to_string(table.streams[b.first_stream + k].size) + " is more than the plane needs raw");
  }
  if (tensor_content_id(entry, table.block_elements, table.raw_checksums()) != entry.content_id)
    throw_corrupt(name + ": content_id does not match the table (offset " + std::to_string(entry.table_offset) + ")");
  return table;
}

bool is_stored_raw(const Table& table, uint64_t number) {
  const BlockRecord& block = table.blocks[number];
  return table.recipes[block.recipe].transform == Transform::kIdentity &&
         table.streams[block.first_stream].coder == Coder::kRaw;
}

void check_stored(const BlockRecord& block, ByteView stored, uint64_t number, const std::string& name) {
  if (xxh3_64(stored.data, stored.size) != block.stored_checksum)
    throw_corrupt(block_name(name, number, block) + ": stored_checksum does not match");
}

void decode_block(const Table& table, uint64_t number, ByteView stored, const DTypeInfo& dtype, uint64_t elements,
                  uint8_t* out, Scratch& scratch, const std::string& name) {
  const BlockRecord& block = table.blocks[number];
  const Recipe& recipe = table.recipes[block.recipe];
  uint64_t raw_bytes = elements * dtype.element_bytes;
  check_stored(block, stored, number, name);
  try {
    uint64_t symbols = symbols_of(recipe.transform, dtype, elements);
    const StreamRecord* streams = &table.streams[block.first_stream];
    const uint8_t* at = stored.data;
    if (recipe.transform == Transform::kIdentity) {
      if (!(streams[0].coder == Coder::kRaw && out == stored.data))
        decode(streams[0].coder, {at, streams[0].size}, {nullptr, symbols, recipe.planes.symbol_bits[0]}, out,
               scratch.coder);
    } else {
      std::array<const uint8_t*, kMaxPlanes> planes;
      for (uint32_t k = 0; k < recipe.planes.count; at += streams[k++].size) {
        Plane shape{nullptr, symbols, recipe.planes.symbol_bits[k]};
        if (streams[k].coder == Coder::kRaw && shape.bits == 8 && streams[k].size == symbols) {
          planes[k] = at;  // used where it lies
          continue;
        }
        uint8_t* to = scratch.planes.data() + k * symbols;
        decode(streams[k].coder, {at, streams[k].size}, shape, to, scratch.coder);
        planes[k] = to;
      }
      join(recipe.transform, dtype, planes.data(), symbols, out);
    }
  } catch (const Error& e) {
    throw_corrupt(block_name(name, number, block) + ": " + e.what());
  }
  // A block stored raw was compared as a whole already, if its two checksums agree.
  if (is_stored_raw(table, number) ? block.raw_checksum != block.stored_checksum
                                   : xxh3_64(out, raw_bytes) != block.raw_checksum)
    throw_corrupt(block_name(name, number, block) + ": raw_checksum does not match");
}

}  // namespace mithril
