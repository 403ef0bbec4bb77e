// Segments ↔ one file of an index: docs/dedup-index-format.md. The writer merges as it goes: several segments become
// one, in memory that does not grow with them.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "csrc/dedup/segment.h"

namespace mithril::dedup {

// Bytes of a file, aligned to 8, and what holds them.
struct FileBytes {
  ByteView view;
  std::shared_ptr<const void> owner;
};

// A segment in its place: the number of its first document, and what is added to its automatic ids.
struct Part {
  std::shared_ptr<const Segment> segment;
  uint64_t first = 0;
  uint64_t id_shift = 0;
  bool in_memory = false;  // may be merged with its neighbour there
  FileBytes file;          // that the segment lies in, if it was a file
};

using Sink = std::function<void(ByteView)>;

// `parts` follow one another from document 0 on and have these parameters; `seen`: texts that were given to the index
// so far.
void write_index_file(const IndexParameters& parameters, const std::vector<Part>& parts, uint64_t seen,
                      const Sink& sink);

struct IndexFile {
  std::shared_ptr<Segment> segment;
  uint64_t seen = 0;
};

// Checks the ends and the sizes; `whole` also every checksum and the order of every section, for which all is read.
// Throws truncated, corrupt, or unsupported for a later version.
IndexFile read_index_file(const FileBytes& bytes, const std::string& name, bool whole);

}  // namespace mithril::dedup
