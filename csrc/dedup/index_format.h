// The ends of an index file: header, directory, footer (docs/dedup-index-format.md).
#pragma once
#include <string>
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/dedup/segment.h"

namespace mithril::dedup {

inline constexpr uint64_t kMaxSeen = uint64_t{1} << 62;  // texts that an index was ever shown

inline constexpr uint64_t kIndexHeaderSize = 64, kIndexFooterSize = 64;

struct SectionEntry {
  uint64_t offset = 0, size = 0, checksum = 0;
};

struct IndexDirectory {
  IndexParameters parameters;
  uint64_t documents = 0, seen = 0;
  std::vector<SectionEntry> sections;
};

std::vector<uint8_t> write_index_header();
// Directory and footer, with the zeros between them; the directory begins at `offset`.
std::vector<uint8_t> write_index_end(const IndexDirectory& directory, uint64_t offset);

// Header, footer and directory of a whole file. The sections lie within it, one after the other, at multiples of 64.
IndexDirectory read_index_ends(ByteView file, const std::string& name);

}  // namespace mithril::dedup
