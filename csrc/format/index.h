// The index: docs/format.md section 4. Writer first; the reader mirrors it.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/base/dtype.h"
#include "csrc/base/ids.h"

namespace mithril {

struct Entry {
  EntryKind kind = EntryKind::kTensor;
  std::string name;
  DType dtype = DType::kUInt8;
  std::vector<uint64_t> dims;
  std::vector<uint8_t> dim_order;
  uint64_t target = 0;  // of an alias
  uint64_t frame_offset = 0, table_offset = 0, table_size = 0;
  Hash128 content_id;

  uint64_t numel() const;
  uint64_t raw_size() const { return numel() * info(dtype).element_bytes; }
  uint64_t frame_end() const;  // where the next frame, or the index, begins
};

struct Index {
  std::map<std::string, std::string> metadata;
  std::vector<Entry> entries;
  std::unordered_map<std::string, uint64_t> by_name;
};

// Throws invalid_argument: empty is allowed, longer than 4096 bytes or not UTF-8 is not.
void check_name(const std::string& name);
// A permutation of 0 … n-1.
bool is_permutation(const std::vector<uint8_t>& order);

std::vector<uint8_t> write_index(const std::vector<Entry>& entries, const std::map<std::string, std::string>& metadata);
// `bytes` is the index without padding, already compared with its content id; it begins at `offset` of the archive
// `name`.
Index read_index(ByteView bytes, uint64_t offset, const std::string& name);

// The content id of a tensor from what its table says.
Hash128 tensor_content_id(const Entry& entry, uint64_t block_elements, const std::vector<uint64_t>& raw_checksums);

}  // namespace mithril
