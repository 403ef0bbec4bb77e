#include "csrc/format/table.h"

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"

namespace mithril {

static constexpr char kMagic[] = "MTBL";
static constexpr uint64_t kBlockRecord = 40;

std::vector<uint64_t> Table::raw_checksums() const {
  std::vector<uint64_t> sums;
  sums.reserve(blocks.size());
  for (const BlockRecord& b : blocks) sums.push_back(b.raw_checksum);
  return sums;
}

std::vector<uint8_t> write_table(const Table& table) {
  ByteBuilder b;
  b.bytes(kMagic, 4), b.u16(0), b.u16(0);
  b.u64(table.block_elements), b.u64(table.blocks.size()), b.u64(table.recipes.size()), b.u64(0);
  for (const Recipe& r : table.recipes) {
    b.u16(static_cast<uint16_t>(r.transform)), b.u16(r.parameter);
    b.u16(static_cast<uint16_t>(r.planes.count)), b.u16(0);
    for (uint32_t k = 0; k < r.planes.count; k++)
      b.u8(r.planes.symbol_bits[k]), b.u8(static_cast<uint8_t>(r.contexts[k].kind)), b.u16(r.contexts[k].plane);
  }
  for (const BlockRecord& block : table.blocks) {
    b.u64(block.stored_size), b.u64(block.stored_checksum), b.u64(block.raw_checksum);
    b.u16(block.recipe), b.u16(0), b.u32(0);
    for (uint32_t k = 0; k < table.recipes[block.recipe].planes.count; k++) {
      const StreamRecord& s = table.streams[block.first_stream + k];
      b.u16(static_cast<uint16_t>(s.coder)), b.u16(0), b.u32(0), b.u64(s.size);
    }
  }
  b.u64(xxh3_64(b.data(), b.size()));
  return b.take();
}

static Recipe read_recipe(ByteCursor& c, const std::function<PlaneList(Transform, uint16_t)>& planes_of) {
  Recipe recipe;
  uint64_t start = c.position();
  uint16_t transform = c.u16("transform");
  if (transform >= kTransforms) c.unsupported("transform", std::to_string(transform) + " is not known");
  recipe.transform = static_cast<Transform>(transform);
  recipe.parameter = c.u16("parameter");
  bool with_parameter = recipe.transform == Transform::kFloatKeys || recipe.transform == Transform::kNonzeroKeys;
  if (recipe.parameter && !with_parameter)
    c.unsupported("parameter", std::to_string(recipe.parameter) + " is not known");
  PlaneList expected = planes_of(recipe.transform, recipe.parameter);
  if (with_parameter && expected.count == 0)
    c.fail("parameter", std::to_string(recipe.parameter) + " is not one of transform " + std::to_string(transform) +
                            " for this dtype");
  uint16_t planes = c.u16("plane_count");
  if (planes == 0 || planes > kMaxPlanes || planes != expected.count)
    c.fail("plane_count",
           std::to_string(planes) + " is not that of transform " + std::to_string(transform) + " for this dtype");
  c.zeros(2, "reserved");
  for (uint16_t k = 0; k < planes; k++) {
    recipe.planes.add(c.u8("symbol_bits"));
    uint8_t kind = c.u8("context_kind");
    recipe.contexts[k].kind = static_cast<ContextKind>(kind);
    if (kind != static_cast<uint8_t>(ContextKind::kNone) && kind != static_cast<uint8_t>(ContextKind::kPlane) &&
        kind != static_cast<uint8_t>(ContextKind::kLane))
      c.unsupported("context_kind", std::to_string(kind) + " is not known");
    uint16_t plane = recipe.contexts[k].plane = c.u16("context_plane");
    if (recipe.contexts[k].kind != ContextKind::kPlane && plane)
      c.fail("context_plane", std::to_string(plane) + " stands where there is none");
    if (recipe.contexts[k].kind == ContextKind::kPlane && (plane <= k || plane >= planes))
      c.fail("context_plane", std::to_string(plane) + " is no later plane");
    bool is_mask = recipe.transform == Transform::kNonzeroKeys && k == 0;
    if (kind && (recipe.planes.symbol_bits[k] > 8 || recipe.transform == Transform::kIdentity || is_mask))
      c.fail("context_kind", std::to_string(kind) + " of a plane that has no context");
  }
  if (!(recipe.planes == expected))
    c.fail("symbol_bits", "are not those of transform " + std::to_string(transform) + " for this dtype", start);
  return recipe;
}

Table read_table(ByteView bytes, uint64_t offset, uint64_t frame_offset, uint64_t elements, uint64_t element_bytes,
                 const std::function<PlaneList(Transform, uint16_t)>& planes_of, const std::string& name) {
  if (bytes.size < 48)
    throw_corrupt(name + ": table_size " + std::to_string(bytes.size) + " is too small (offset " +
                  std::to_string(offset) + ")");
  ByteCursor sum({bytes.data + bytes.size - 8, 8}, name + ": table", offset + bytes.size - 8);
  if (sum.u64("checksum") != xxh3_64(bytes.data, bytes.size - 8)) sum.fail("checksum", "does not match");

  ByteCursor c({bytes.data, bytes.size - 8}, name + ": table", offset);
  if (c.text(4, "magic") != kMagic) c.fail("magic", "is wrong", 0);
  if (uint16_t kind = c.u16("base_kind")) c.unsupported("base_kind", std::to_string(kind) + " is not known");
  c.zeros(2, "reserved");
  Table table;
  table.block_elements = c.u64("block_elements");
  if (table.block_elements == 0 || table.block_elements > kMaxBlockBytes / element_bytes)
    c.fail("block_elements",
           std::to_string(table.block_elements) + " is not 1 to " + std::to_string(kMaxBlockBytes / element_bytes));
  uint64_t block_count = c.count(kBlockRecord, ~uint64_t{0}, "block_count");
  if (block_count != ceil_div(elements, table.block_elements))
    c.fail("block_count", std::to_string(block_count) + " is not that of " + std::to_string(elements) + " elements");
  uint64_t recipe_count = c.count(12, kMaxRecipes, "recipe_count");
  uint64_t model_count = c.count(16, kMaxModels, "model_count");
  if (model_count) c.unsupported("model_count", std::to_string(model_count) + ": shared models are not known");
  for (uint64_t i = 0; i < recipe_count; i++) table.recipes.push_back(read_recipe(c, planes_of));

  table.blocks.reserve(block_count);
  uint64_t at = frame_offset;
  for (uint64_t i = 0; i < block_count; i++) {
    BlockRecord block;
    block.stored_size = c.u64("stored_size"), block.stored_checksum = c.u64("stored_checksum"),
    block.raw_checksum = c.u64("raw_checksum");
    block.recipe = c.u16("recipe");
    if (block.recipe >= recipe_count)
      c.fail("recipe", std::to_string(block.recipe) + " of block " + std::to_string(i) + " is out of range");
    if (uint16_t e = c.u16("envelope")) c.unsupported("envelope", std::to_string(e) + " is not known");
    c.zeros(4, "envelope_size");
    block.offset = at;
    if (block.stored_size > offset - at)
      c.fail("stored_size",
             std::to_string(block.stored_size) + " of block " + std::to_string(i) + " leads beyond the table");
    at = align64(at + block.stored_size);
    block.first_stream = table.streams.size();
    uint64_t total = 0;
    for (uint32_t k = 0; k < table.recipes[block.recipe].planes.count; k++) {
      StreamRecord s;
      uint16_t coder = c.u16("coder");
      if (coder >= kCoders) c.unsupported("coder", std::to_string(coder) + " is not known");
      s.coder = static_cast<Coder>(coder);
      c.zeros(2, "reserved"), c.zeros(4, "model");
      s.size = c.u64("stream_size");
      if (s.size > block.stored_size - total)
        c.fail("stream_size", std::to_string(s.size) + " of block " + std::to_string(i) + " leads beyond the block");
      total += s.size;
      table.streams.push_back(s);
    }
    if (total != block.stored_size)
      c.fail("stream_size", "sizes of block " + std::to_string(i) + " do not add up to stored_size");
    table.blocks.push_back(block);
  }
  if (c.left()) c.fail("table_size", "leaves " + std::to_string(c.left()) + " bytes over");
  if (at != offset)
    c.fail("stored_size", "the blocks end at " + std::to_string(at) + ", the table begins at " + std::to_string(offset),
           0);
  return table;
}

}  // namespace mithril
