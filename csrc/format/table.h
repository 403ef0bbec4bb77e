// The table of a frame: docs/format.md section 3. Writer first; the reader mirrors it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/base/ids.h"
#include "csrc/base/planes.h"

namespace mithril {

struct Recipe {
  Transform transform = Transform::kIdentity;
  PlaneList planes;
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
// `element_bytes` are those of the tensor, and planes_of() tells the planes that a transform makes for its dtype.
Table read_table(ByteView bytes, uint64_t offset, uint64_t frame_offset, uint64_t elements, uint64_t element_bytes,
                 const std::function<PlaneList(Transform)>& planes_of, const std::string& name);

}  // namespace mithril
