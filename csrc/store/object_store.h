// Files named by digests, shared by any number of processes, within a quota. The caller computes the digests and checks
// what it reads.
//
//   root/objects/ab/cd/<64 digits>   named by their content: never changed
//   root/records/ab/cd/<64 digits>   named by a key: replaced whole
//   root/tmp/                        written here, then renamed
//   root/quarantine/                 damaged files, for whoever wants to look at them
//   root/usage, root/lock            see usage.h; the lock only saves work, nothing is wrong without it
//
// Nothing is synced: after a crash of the machine a file may be damaged, and readers find out. The time of modification
// is the time of last use, and the least recently used files go first. All methods may be called from several threads
// and after a fork. Names that are not 64 lower-case hexadecimal digits are invalid_argument. System errors are kIo.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/store/census.h"
#include "csrc/store/folder.h"
#include "csrc/store/usage.h"

namespace mithril {

inline constexpr uint64_t kMaxStoredBytes = uint64_t{8} << 30;  // of one object

// An open object or record.
class StoredReader {
 public:
  StoredReader(Descriptor file, uint64_t size) : file_(std::move(file)), size_(size) {}
  uint64_t size() const { return size_; }
  // Fills `to` with size() bytes; throws truncated when the file has become shorter.
  void read(uint8_t* to) const;

 private:
  Descriptor file_;
  uint64_t size_;
};

struct Removed {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

class Temporary;

class ObjectStore {
 public:
  // Makes the root, with mode 0700, unless it is there or `read_only`. A quota of 0 is none; files are inodes.
  ObjectStore(const std::string& root, uint64_t max_bytes, uint64_t max_files, bool read_only);

  // Returns false when an object of this name and size was there already. On failure nothing of it stays. EFBIG when it
  // exceeds the quota by itself, EROFS when the store is read-only.
  bool put(Tree tree, const std::string& name, ByteView data);
  // None when absent or not readable for this user. Throws corrupt for what is no regular file or larger than
  // `max_size`. `touch`: marks it as used.
  std::optional<StoredReader> open(Tree tree, const std::string& name, uint64_t max_size, bool touch) const;
  std::optional<uint64_t> size(Tree tree, const std::string& name) const;
  bool remove(Tree tree, const std::string& name);
  // Moves a damaged file aside; false when it is gone or cannot be moved.
  bool quarantine(Tree tree, const std::string& name);
  // The names that begin with these two digits.
  std::vector<std::string> names(Tree tree, uint8_t first) const;
  Census census() const { return take_census(root_.get(), false); }
  // Removes temporary files older than an hour, quarantined ones older than a day, strays and empty folders; evicts
  // when less than a fortieth of the quota is free; counts anew.
  Removed gc();
  // Removes all that is stored.
  void clear();

 private:
  static constexpr int kLevels = 2;
  // The folder that holds a name, or the last one on the way to it that is there.
  struct Place {
    Descriptor folder;
    int levels;
    bool is_leaf() const { return folder && levels == kLevels; }
  };
  Place place(Tree tree, const std::string& name) const;
  bool make(Place& to, Tree tree, const std::string& name, int& made) const;
  bool publish(Temporary& file, Place to, Tree tree, const std::string& name, int& made) const;
  bool move_aside(const Descriptor& folder, const std::string& name) const;
  void reserve(Totals amount);
  bool make_room(Totals amount, bool force);
  // Counts anew and evicts so that `amount` fits, which includes `temporaries` files that are there already.
  Removed keep_quota(Totals amount, int temporaries);
  Removed evict(Census& census, Totals most);
  bool remove_counted(const StoredFile& file, Totals& totals) const;
  bool fits(const Totals& totals) const;
  bool fits_well(const Totals& totals) const;
  void sweep();
  [[noreturn]] void fail(const char* what, Tree tree, const std::string& name) const;
  void check_writable() const;
  void check_root() const;

  std::string path_;
  Descriptor root_;
  UsageFile usage_;
  uint64_t max_bytes_, max_files_;
  bool read_only_;
};

}  // namespace mithril
