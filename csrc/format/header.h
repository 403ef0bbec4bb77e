// Header and footer: docs/format.md sections 2 and 5. Writer first; the reader mirrors it.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "csrc/base/bytes.h"

namespace mithril {

inline constexpr uint64_t kHeaderSize = 64;
inline constexpr uint64_t kFooterSize = 128;

struct Footer {
  uint64_t archive_size = 0, index_offset = 0, index_size = 0;
  Hash128 content_id;
};

std::vector<uint8_t> write_header(uint32_t zstd_version);
std::vector<uint8_t> write_footer(const Footer& footer, uint32_t zstd_version);

// Reads both: `head` is the first bytes of the archive (up to 64), `tail` the last (up to 128). Throws truncated,
// unsupported or corrupt; `name` is the archive's, for messages. Checks everything but the index itself.
Footer read_ends(ByteView head, ByteView tail, uint64_t archive_size, const std::string& name);

}  // namespace mithril
