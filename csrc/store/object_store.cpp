#include "csrc/store/object_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "csrc/base/error.h"
#include "csrc/store/temporary.h"

namespace mithril {

static constexpr time_t kTouchSeconds = 10;  // a file used more often is marked as used this often
static constexpr int kAttempts = 8;
static constexpr char kTag[] =
    "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of mithril. Backup programs may leave it out.\n";

static Descriptor open_root(const std::string& path, bool make) {
  bool made = make && mkdir(path.c_str(), 0700) == 0;
  Descriptor root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw Error(errno, "cannot open the store: " + std::string(std::strerror(errno)), path);
  if (made) {
    Descriptor tag(openat(root.get(), "CACHEDIR.TAG", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    [[maybe_unused]] ssize_t n = tag ? ::write(tag.get(), kTag, sizeof kTag - 1) : 0;  // a cache without it works too
  }
  return root;
}

ObjectStore::ObjectStore(const std::string& root, uint64_t max_bytes, uint64_t max_files, bool read_only)
    : path_(root),
      root_(open_root(root, !read_only)),
      usage_(root_.get(), root),
      max_bytes_(max_bytes),
      max_files_(max_files),
      read_only_(read_only) {
  constexpr uint64_t kFewest = 16;  // folders and files of the store itself, and one object
  if (max_files && max_files < kFewest)
    throw_invalid("max_files is " + std::to_string(max_files) + ", at least " + std::to_string(kFewest) +
                  " are needed");
}

void ObjectStore::fail(const char* what, Tree tree, const std::string& name) const {
  int code = errno;
  throw Error(code, std::string(what) + ": " + std::strerror(code), path_ + "/" + tree_name(tree) + "/" + name);
}

void ObjectStore::check_writable() const {
  if (read_only_) throw Error(EROFS, "the store is open for reading only", path_);
}

static void check_name(const std::string& name) {
  if (!is_name(name)) throw_invalid("not 64 lower-case hexadecimal digits: '" + name.substr(0, 80) + "'");
}

static std::string part(const std::string& name, size_t level) { return name.substr(2 * (level - 1), 2); }

ObjectStore::Place ObjectStore::place(Tree tree, const std::string& name) const {
  check_name(name);
  Place place{open_folder(root_.get(), tree_name(tree)), 0};
  while (place.folder && place.levels < kLevels) {
    Descriptor next = open_folder(place.folder.get(), part(name, place.levels + 1).c_str());
    if (!next) break;
    place.folder = std::move(next), place.levels++;
  }
  return place;
}

bool ObjectStore::make(Place& to, Tree tree, const std::string& name, int& made) const {
  int own = 0;
  if (!to.folder) to.folder = make_folder(root_.get(), tree_name(tree), own);
  while (to.folder && to.levels < kLevels)
    to.folder = make_folder(to.folder.get(), part(name, ++to.levels).c_str(), made);
  return static_cast<bool>(to.folder);
}

// Whether its use must be marked. Files of the future, after a clock went wrong, too: else they would stay for ever.
static bool is_stale(const struct stat& s) {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return s.st_mtim.tv_sec <= now.tv_sec - kTouchSeconds || s.st_mtim.tv_sec >= now.tv_sec + kTouchSeconds;
}

bool ObjectStore::put(Tree tree, const std::string& name, ByteView data) {
  check_writable();
  if (data.size > kMaxStoredBytes || (max_bytes_ && data.size > max_bytes_)) {
    errno = EFBIG;
    fail("larger than the store may be", tree, name);
  }
  Place to = place(tree, name);
  struct stat old;
  bool replaces = to.is_leaf() && fstatat(to.folder.get(), name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (replaces && tree == Tree::kObjects && S_ISREG(old.st_mode) && static_cast<uint64_t>(old.st_size) == data.size) {
    if (is_stale(old)) utimensat(to.folder.get(), name.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
    return false;
  }
  Temporary file(root_.get());  // before room is made for it: on a read-only disk that would be in vain
  if (!file) fail("cannot create", tree, name);
  Totals reserved{static_cast<int64_t>(data.size), 1 + kLevels - to.levels};
  reserve(reserved);
  int made = 0;
  int code = 0;
  try {
    if (!file.write(data) || !publish(file, std::move(to), tree, name, made)) code = errno;
  } catch (const Error& e) {
    code = e.code();
  }
  if (code) {
    usage_.correct({-reserved.bytes, made - reserved.files});
    errno = code;
    fail("cannot write", tree, name);
  }
  Totals back{replaces ? -old.st_size : 0, 1 + made - reserved.files - replaces};
  if (back.bytes || back.files) usage_.correct(back);
  return true;
}

bool ObjectStore::publish(Temporary& file, Place to, Tree tree, const std::string& name, int& made) const {
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    if (make(to, tree, name, made) && file.rename(to.folder.get(), name.c_str())) return true;
    if (errno != ENOENT) return false;
    to = place(tree, name);  // others remove folders that are empty
  }
  errno = ENOENT;
  return false;
}

std::optional<StoredReader> ObjectStore::open(Tree tree, const std::string& name, uint64_t max_size, bool touch) const {
  check_name(name);
  std::string path = tree_name(tree) + ("/" + part(name, 1)) + "/" + part(name, 2) + "/" + name;
  // O_NONBLOCK: a pipe in its place must not block.
  Descriptor file(openat(root_.get(), path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) {
    if (errno == ELOOP || errno == ENXIO) throw_corrupt(name + ": not a regular file");
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) return std::nullopt;
    fail("cannot open", tree, name);
  }
  struct stat s;
  if (fstat(file.get(), &s) != 0) fail("cannot read", tree, name);
  if (!S_ISREG(s.st_mode)) throw_corrupt(name + ": not a regular file");
  auto size = static_cast<uint64_t>(s.st_size);
  if (size > max_size || size > kMaxStoredBytes)
    throw_corrupt(name + ": " + std::to_string(size) + " bytes, at most " + std::to_string(max_size) + " expected");
  if (touch && !read_only_ && is_stale(s)) futimens(file.get(), nullptr);  // not ours to mark, or read-only: no matter
  return StoredReader(std::move(file), size);
}

void StoredReader::read(uint8_t* to) const {
  uint64_t offset = 0;
  while (offset < size_) {
    ssize_t n =
        pread(file_.get(), to + offset, std::min(size_ - offset, uint64_t{1} << 30), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(errno, std::string("cannot read: ") + std::strerror(errno), "");
    if (n == 0) throw_truncated("a stored file ends at offset " + std::to_string(offset));
    offset += static_cast<uint64_t>(n);
  }
}

std::optional<uint64_t> ObjectStore::size(Tree tree, const std::string& name) const {
  Place at = place(tree, name);
  struct stat s;
  if (!at.is_leaf() || fstatat(at.folder.get(), name.c_str(), &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode))
    return std::nullopt;
  return static_cast<uint64_t>(s.st_size);
}

bool ObjectStore::remove(Tree tree, const std::string& name) {
  check_writable();
  Place at = place(tree, name);
  struct stat s;
  if (!at.is_leaf() || fstatat(at.folder.get(), name.c_str(), &s, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (unlinkat(at.folder.get(), name.c_str(), 0) != 0) {
    if (errno == ENOENT) return false;
    fail("cannot remove", tree, name);
  }
  usage_.correct({-s.st_size, -1});
  return true;
}

bool ObjectStore::quarantine(Tree tree, const std::string& name) {
  Place at = place(tree, name);
  return at.is_leaf() && move_aside(at.folder, name);
}

bool ObjectStore::move_aside(const Descriptor& folder, const std::string& name) const {
  if (read_only_) return false;
  std::string aside = "quarantine/" + name.substr(0, kNameDigits) + "-" + unique_name();
  auto move = [&] { return renameat(folder.get(), name.c_str(), root_.get(), aside.c_str()) == 0; };
  if (!move() && (errno != ENOENT || mkdirat(root_.get(), "quarantine", 0777) != 0 || !move())) return false;
  utimensat(root_.get(), aside.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);  // its age there decides when it goes
  return true;
}

std::vector<std::string> ObjectStore::names(Tree tree, uint8_t first) const {
  std::vector<std::string> names;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string start{kDigits[first >> 4], kDigits[first & 15]};
  Descriptor top = open_folder(root_.get(), tree_name(tree));
  if (!top) return names;
  Listing middle = list_folder(top.get(), start.c_str());
  for (const std::string& second : middle.names)
    for (std::string& name : list_folder(middle.folder.get(), second.c_str()).names)
      if (is_place(name, start, second)) names.push_back(std::move(name));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace mithril
