// What a store holds, counted by all processes together without a lock and without scanning.
//
// The file `usage`: 8 bytes of magic and 8 of zero, then changes: bytes and files, two signed integers of 64 bits each.
// Their sum is the total. A change is one append, which is atomic on local file systems; elsewhere, and when a process
// dies between a change and what it announced, the sum drifts. So it only says when to count anew, and whoever evicts
// does. Nothing is kept between calls: the file may be replaced or removed at any time. (Not a mapped counter: a mapped
// file that somebody truncates kills the process.)
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace mithril {

struct Totals {
  int64_t bytes = 0;
  int64_t files = 0;  // inodes: folders too
};

class UsageFile {
 public:
  UsageFile(int root, const std::string& root_path) : root_(root), path_(root_path + "/usage") {}

  // Appends a change and returns the total with it. None when the file is absent or damaged: count, then `reset`.
  // Throws kIo when it cannot be written.
  std::optional<Totals> add(Totals change) const;
  // The same, for what has happened and cannot be undone: failures only make the total drift.
  void correct(Totals change) const noexcept;
  std::optional<Totals> total() const;
  // Replaces the file by what was counted since the total was `before`. What others put in the meantime may not be
  // among that, so it is added: rather twice in the total than not at all. On failure, which returns false, the file is
  // removed.
  bool reset(Totals counted, const std::optional<Totals>& before) const;

 private:
  std::optional<Totals> read(int fd, bool& is_long) const;
  [[noreturn]] void fail(const char* what) const;
  int root_;
  std::string path_;
};

}  // namespace mithril
