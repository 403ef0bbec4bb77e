// A file as memory, read-only: one that has a name, or one that was written here, has none, and goes with the process.
//
// kMapPadding bytes behind the end may be read (they hold zeros). A named file must stay as it is: whoever cuts it
// short takes pages away from us, and touching those kills the process (SIGBUS); any other change is noticed by
// require_unchanged().
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "csrc/base/bytes.h"

namespace mithril::dedup {

inline constexpr uint64_t kMapPadding = 64;

class MappedFile {
 public:
  // Throws io when `path` cannot be opened or is no regular file.
  explicit MappedFile(const std::string& path);
  // Takes `fd` over, also when it throws; `name` stands in messages.
  MappedFile(int fd, std::string name);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const char* data() const { return data_; }
  uint64_t size() const { return size_; }
  const std::string& name() const { return name_; }
  // Throws corrupt when size or time of modification are not those of the beginning.
  void require_unchanged() const;

 private:
  void map();
  std::string name_;
  int fd_;
  uint64_t size_ = 0, mapped_ = 0;
  int64_t modified_seconds_ = 0, modified_nanoseconds_ = 0;
  char* data_ = nullptr;
};

// Where bytes are put that cannot be read twice from where they come.
class SpillFile {
 public:
  // A file without a name in `folder`. Throws io.
  explicit SpillFile(const std::string& folder);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  void write(ByteView bytes);  // throws io, with ENOSPC when the file system is full
  uint64_t size() const { return size_; }
  // What was written. Ends the writing.
  std::shared_ptr<const MappedFile> finish(const std::string& name);

 private:
  std::string folder_;
  int fd_;
  uint64_t size_ = 0;
};

}  // namespace mithril::dedup
