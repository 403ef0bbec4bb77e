// The table of a frame: docs/format.md section 3. Writer first; the reader mirrors it.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/base/ids.h"
#include "csrc/base/planes.h"

namespace mithril {

// What a coder may use as context of a plane: nothing, a later plane of the block, or what its lane coded before.
struct Context {
  ContextKind kind = ContextKind::kNone;
  uint16_t plane = 0;
  bool operator==(const Context& o) const { return kind == o.kind && plane == o.plane; }
};

struct Recipe {
  Transform transform = Transform::kIdentity;
  uint16_t parameter = 0;
  PlaneList planes;
  std::array<Context, kMaxPlanes> contexts{};

  bool operator==(const Recipe& o) const {
    return transform == o.transform && parameter == o.parameter && planes == o.planes && contexts == o.contexts;
  }
};

struct StreamRecord {
  Coder coder = Coder::kRaw;
  uint64_t size = 0;
};

struct BlockRecord {
  uint64_t stored_size = 0, stored_checksum = 0, raw_checksum = 0;
  uint64_t offset = 0;        // in the archive; not stored, follows from the sizes
  uint64_t first_stream = 0;  // in Table::streams
  uint16_t recipe = 0;
};

struct Table {
  uint64_t block_elements = 0;
  std::vector<Recipe> recipes;
  std::vector<BlockRecord> blocks;
  std::vector<StreamRecord> streams;  // of all blocks, in order

  std::vector<uint64_t> raw_checksums() const;
};

std::vector<uint8_t> write_table(const Table& table);
// `bytes` is the table without padding, at `offset` of the archive; the frame begins at `frame_offset`. `elements` and
// `element_bytes` are those of the tensor, and planes_of() tells the planes that a transform makes for its dtype and a
// parameter: none when it makes none.
Table read_table(ByteView bytes, uint64_t offset, uint64_t frame_offset, uint64_t elements, uint64_t element_bytes,
                 const std::function<PlaneList(Transform, uint16_t)>& planes_of, const std::string& name);

}  // namespace mithril
