// The part of ObjectStore that keeps the quota: counting anew, and removing what was used longest ago.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>

#include "csrc/base/error.h"
#include "csrc/store/object_store.h"

namespace mithril {

static constexpr time_t kTemporarySeconds = 3600, kQuarantineSeconds = 24 * 3600;
static constexpr time_t kAnyAge = std::numeric_limits<int32_t>::min();

// Held by whoever counts and evicts, so that others need not do the same. Not waited for endlessly: its owner may be
// stopped, and two at work at once are harmless.
class EvictionLock {
 public:
  EvictionLock(int root, bool wait) : file_(openat(root, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666)) {
    constexpr timespec kPause{0, 1000000};
    const int polls = wait ? 100 : 1;
    for (int i = 0; file_ && !held_ && i < polls; i++) {
      if (i > 0) nanosleep(&kPause, nullptr);
      held_ = flock(file_.get(), LOCK_EX | LOCK_NB) == 0;
      if (!held_ && errno != EWOULDBLOCK && errno != EINTR) break;
    }
  }
  ~EvictionLock() {
    if (held_) flock(file_.get(), LOCK_UN);  // a process forked in the meantime has the descriptor too
  }
  bool held() const { return held_; }

 private:
  Descriptor file_;
  bool held_ = false;
};

static bool is_within(int64_t value, uint64_t max) { return !max || value <= static_cast<int64_t>(max); }

bool ObjectStore::fits(const Totals& totals) const {
  return is_within(totals.bytes, max_bytes_) && is_within(totals.files, max_files_);
}

// Whether one fortieth stays free. Whoever takes that makes room while others go on: they would have to wait otherwise.
bool ObjectStore::fits_well(const Totals& totals) const {
  return is_within(totals.bytes, max_bytes_ - max_bytes_ / 40) && is_within(totals.files, max_files_ - max_files_ / 40);
}

static Totals operator+(const Totals& a, const Totals& b) { return {a.bytes + b.bytes, a.files + b.files}; }

void ObjectStore::reserve(Totals amount) {
  if (!max_bytes_ && !max_files_) {
    usage_.add(amount);
    return;
  }
  for (int attempt = 0; attempt < 8; attempt++) {
    std::optional<Totals> total = usage_.add(amount);
    bool must_wait = !total || !fits(*total);
    if (!must_wait && (attempt > 0 || fits_well(*total))) return;
    EvictionLock lock(root_.get(), must_wait);
    if (!must_wait && !lock.held()) return;
    if (total) usage_.correct({-amount.bytes, -amount.files});
    // A count that cannot be written down, as the disk is full, is no reason to count again: the write will tell.
    if (!make_room(amount, attempt >= 2)) return;  // others may claim the room first, hence the attempts
  }
  throw Error(EDQUOT, "the store is full", path_);
}

// Returns whether the usage file says so now. Called with the lock.
bool ObjectStore::make_room(Totals amount, bool force) {
  std::optional<Totals> total = usage_.total();
  if (total && !force && fits_well(*total + amount)) return true;
  keep_quota(amount, 1);
  return usage_.total().has_value();
}

// Removes what lies in a folder of the root and whose time of modification is at least `seconds` ago.
static void remove_old(int root, const char* name, time_t seconds) {
  time_t now = time(nullptr);
  struct stat s;
  Listing listing = list_folder(root, name);
  for (const std::string& entry : listing.names)
    if (fstatat(listing.folder.get(), entry.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0 && s.st_mtime <= now - seconds)
      remove_all(listing.folder.get(), entry.c_str());
}

// Removes a file unless it was used since it was counted, and folders that become empty. Returns whether this call did.
bool ObjectStore::remove_counted(const StoredFile& file, Totals& totals) const {
  std::string name(file.name.begin(), file.name.end()), first = name.substr(0, 2), second = name.substr(2, 2);
  Descriptor top = open_folder(root_.get(), tree_name(file.tree)), middle, folder;
  if (top) middle = open_folder(top.get(), first.c_str());
  if (middle) folder = open_folder(middle.get(), second.c_str());
  struct stat s;
  bool is_there = folder && fstatat(folder.get(), name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0;
  if (is_there && file.used != std::pair<int64_t, int64_t>(s.st_mtim.tv_sec, s.st_mtim.tv_nsec)) return false;
  bool removed = is_there && unlinkat(folder.get(), name.c_str(), 0) == 0;
  if (is_there && !removed && errno != ENOENT) return false;
  totals.bytes -= static_cast<int64_t>(file.size), totals.files--;
  if (removed && unlinkat(middle.get(), second.c_str(), AT_REMOVEDIR) == 0) {
    totals.files--;
    if (unlinkat(top.get(), first.c_str(), AT_REMOVEDIR) == 0) totals.files--;
  }
  return removed;
}

Removed ObjectStore::evict(Census& census, Totals most) {
  Removed removed;
  std::sort(census.files.begin(), census.files.end(),
            [](const StoredFile& a, const StoredFile& b) { return a.used < b.used; });
  for (const StoredFile& file : census.files) {
    if (census.totals.bytes <= most.bytes && census.totals.files <= most.files) break;
    if (remove_counted(file, census.totals)) removed.files++, removed.bytes += file.size;
  }
  return removed;
}

Removed ObjectStore::keep_quota(Totals amount, int temporaries) {
  remove_old(root_.get(), "tmp", kTemporarySeconds);
  std::optional<Totals> before = usage_.total();
  Census census = take_census(root_.get(), true);
  census.totals.files -= temporaries;
  if (fits_well(census.totals + amount)) {
    usage_.reset(census.totals, before);
    return {};
  }
  remove_old(root_.get(), "quarantine", kAnyAge);
  census.totals.bytes -= census.quarantine.bytes, census.totals.files -= census.quarantine.files;
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  auto goal = [](uint64_t max, int64_t amount) {  // a tenth is freed at once: counting is what costs
    return max ? std::max(static_cast<int64_t>(max / 10 * 9) - amount, int64_t{0}) : kNone;
  };
  Removed removed = evict(census, {goal(max_bytes_, amount.bytes), goal(max_files_, amount.files)});
  usage_.reset(census.totals, before);
  return removed;
}

void ObjectStore::check_root() const {
  if (faccessat(root_.get(), ".", W_OK, AT_EACCESS) != 0)
    throw Error(errno, std::string("cannot write into the store: ") + std::strerror(errno), path_);
}

Removed ObjectStore::gc() {
  check_writable();
  check_root();
  EvictionLock lock(root_.get(), true);
  remove_old(root_.get(), "quarantine", kQuarantineSeconds);
  sweep();
  return keep_quota({}, 0);
}

void ObjectStore::clear() {
  check_writable();
  check_root();
  EvictionLock lock(root_.get(), true);
  remove_old(root_.get(), "tmp", kTemporarySeconds);
  sweep();
  remove_old(root_.get(), "quarantine", kAnyAge);
  std::optional<Totals> before = usage_.total();
  Census census = take_census(root_.get(), true);
  evict(census, {});
  usage_.reset(census.totals, before);
}

// Whether something else than a file of this type is there.
static bool is_other(const Descriptor& folder, const std::string& name, mode_t type) {
  struct stat s;
  return fstatat(folder.get(), name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0 && (s.st_mode & S_IFMT) != type;
}

// Moves what is no file of its folder's digits out of the trees, and removes empty folders.
void ObjectStore::sweep() {
  for (Tree tree : kTrees) {
    Listing top = list_folder(root_.get(), tree_name(tree));
    for (const std::string& first : top.names) {
      Listing middle = list_folder(top.folder.get(), first.c_str());
      if (is_other(top.folder, first, S_IFDIR)) move_aside(top.folder, first);
      for (const std::string& second : middle.names) {
        Listing leaf = list_folder(middle.folder.get(), second.c_str());
        if (is_other(middle.folder, second, S_IFDIR)) move_aside(middle.folder, second);
        for (const std::string& name : leaf.names)
          if (!is_place(name, first, second) || is_other(leaf.folder, name, S_IFREG)) move_aside(leaf.folder, name);
        unlinkat(middle.folder.get(), second.c_str(), AT_REMOVEDIR);
      }
      unlinkat(top.folder.get(), first.c_str(), AT_REMOVEDIR);
    }
  }
}

}  // namespace mithril
