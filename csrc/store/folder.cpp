#include "csrc/store/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "csrc/base/error.h"

namespace mithril {

Descriptor::~Descriptor() {
  if (fd_ < 0) return;
  int code = errno;  // of the failure that led here
  ::close(fd_);
  errno = code;
}

bool Descriptor::close() { return ::close(std::exchange(fd_, -1)) == 0; }

static bool is_absence(int code) { return code == ENOENT || code == ENOTDIR || code == ELOOP || code == EACCES; }

[[noreturn]] static void fail(const char* name) {
  int code = errno;
  throw Error(code, std::string("cannot open the folder: ") + std::strerror(code), name);
}

Descriptor open_folder(int parent, const char* name) {
  Descriptor folder(openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder && !is_absence(errno)) fail(name);
  return folder;
}

Descriptor make_folder(int parent, const char* name, int& made) {
  if (mkdirat(parent, name, 0777) == 0)
    made++;
  else if (errno != EEXIST)
    return Descriptor();
  return open_folder(parent, name);
}

// Not readdir, which takes twice the system calls: counting a store is mostly this.
Listing list_folder(int parent, const char* name) {
  Listing listing{Descriptor(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)), {}};
  if (!listing.folder && is_absence(errno)) return listing;
  if (!listing.folder) fail(name);
  alignas(dirent64) char buffer[16 << 10];
  for (;;) {
    ssize_t n = getdents64(listing.folder.get(), buffer, sizeof buffer);
    if (n < 0 && errno != ENOENT) fail(name);  // ENOENT: removed while it is read
    if (n <= 0) return listing;
    for (ssize_t at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
        listing.names.emplace_back(entry->d_name);
      at += entry->d_reclen;
    }
  }
}

static bool remove_below(int parent, const char* name, int depth) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR && errno != EPERM) return false;
  if (depth == 0) return false;
  Listing listing = list_folder(parent, name);
  for (const std::string& entry : listing.names) remove_below(listing.folder.get(), entry.c_str(), depth - 1);
  return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

bool remove_all(int parent, const char* name) {
  constexpr int kDepth = 32;  // descriptors are held on the way down
  return remove_below(parent, name, kDepth);
}

std::string unique_name() {
  uint64_t v = 0;
  if (getrandom(&v, sizeof v, 0) != sizeof v) throw Error(errno, "cannot get a random number", "");
  char text[48];
  std::snprintf(text, sizeof text, "%ld-%016llx", static_cast<long>(getpid()), static_cast<unsigned long long>(v));
  return text;
}

}  // namespace mithril
