#include "csrc/dedup/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "csrc/base/error.h"

namespace mithril::dedup {

[[noreturn]] static void fail(const char* what, const std::string& path) {
  int code = errno;
  throw Error(code, std::string(what) + ": " + std::strerror(code), path);
}

MappedFile::MappedFile(const std::string& path)
    : name_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) fail("cannot open", path);
  map();
}

MappedFile::MappedFile(int fd, std::string name) : name_(std::move(name)), fd_(fd) { map(); }

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, mapped_);
  ::close(fd_);
}

void MappedFile::map() {
  struct stat s;
  auto give_up = [&](int code, const char* what) {
    ::close(fd_);
    errno = code;
    fail(what, name_);
  };
  if (fstat(fd_, &s) != 0) give_up(errno, "cannot look at");
  if (!S_ISREG(s.st_mode)) give_up(S_ISDIR(s.st_mode) ? EISDIR : EINVAL, "not a regular file");
  size_ = static_cast<uint64_t>(s.st_size);
  modified_seconds_ = s.st_mtim.tv_sec, modified_nanoseconds_ = s.st_mtim.tv_nsec;
  // Anonymous pages first, the file on top of them: what is left behind its end is the padding.
  mapped_ = size_ + kMapPadding;
  void* data = ::mmap(nullptr, mapped_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) give_up(errno, "cannot map");
  if (size_ && ::mmap(data, size_, PROT_READ, MAP_SHARED | MAP_FIXED, fd_, 0) == MAP_FAILED) {
    int code = errno;
    ::munmap(data, mapped_);
    give_up(code, "cannot map");
  }
  data_ = static_cast<char*>(data);
}

void MappedFile::require_unchanged() const {
  struct stat s;
  if (fstat(fd_, &s) != 0) fail("cannot look at", name_);
  auto size = static_cast<uint64_t>(s.st_size);
  if (size != size_)
    throw_corrupt(name_ + ": changed while it was read: it had " + std::to_string(size_) + " bytes and has " +
                  std::to_string(size));
  if (s.st_mtim.tv_sec != modified_seconds_ || s.st_mtim.tv_nsec != modified_nanoseconds_)
    throw_corrupt(name_ + ": changed while it was read: it was written to");
}

SpillFile::SpillFile(const std::string& folder) : folder_(folder) {
  fd_ = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd_ < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {  // this file system cannot do it
    std::string path = folder + "/mithril-spill-XXXXXX";
    fd_ = ::mkostemp(path.data(), O_CLOEXEC);
    if (fd_ >= 0) ::unlink(path.c_str());
  }
  if (fd_ < 0) fail("cannot make a temporary file in", folder);
}

SpillFile::~SpillFile() {
  if (fd_ >= 0) ::close(fd_);
}

void SpillFile::write(ByteView bytes) {
  if (fd_ < 0) throw_invalid("a temporary file in " + folder_ + ": its writing has ended");
  while (bytes.size) {
    ssize_t n = ::write(fd_, bytes.data, bytes.size < (1u << 30) ? bytes.size : (1u << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write a temporary file in", folder_);
    bytes.data += n, bytes.size -= static_cast<uint64_t>(n), size_ += static_cast<uint64_t>(n);
  }
}

std::shared_ptr<const MappedFile> SpillFile::finish(const std::string& name) {
  if (fd_ < 0) throw_invalid("a temporary file in " + folder_ + ": its writing has ended");
  int fd = fd_;
  fd_ = -1;
  return std::make_shared<const MappedFile>(fd, name);
}

}  // namespace mithril::dedup
