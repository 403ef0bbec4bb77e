#include "csrc/base/file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "csrc/base/error.h"

namespace mithril {

[[noreturn]] static void fail(const char* what, const std::string& path) {
  int code = errno;
  throw Error(code, std::string(what) + ": " + std::strerror(code), path);
}

FileSource::FileSource(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail("cannot open", path);
  struct stat s;
  if (fstat(fd_, &s) != 0 || !S_ISREG(s.st_mode)) {
    if (S_ISDIR(s.st_mode))
      errno = EISDIR;
    else if (!S_ISREG(s.st_mode))
      errno = EINVAL;
    int code = errno;
    ::close(fd_);
    errno = code;
    fail("not a regular file", path);
  }
  size_ = static_cast<uint64_t>(s.st_size);
}

FileSource::~FileSource() { ::close(fd_); }

void FileSource::read(uint64_t offset, uint64_t size, uint8_t* to) const {
  while (size) {
    ssize_t n = ::pread(fd_, to, size < (1u << 30) ? size : (1u << 30), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot read", path_);
    if (n == 0)
      throw_truncated(path_ + ": ends at offset " + std::to_string(offset) + ", " + std::to_string(size) +
                      " more bytes expected");
    to += n, offset += static_cast<uint64_t>(n), size -= static_cast<uint64_t>(n);
  }
}

const uint8_t* MemorySource::map(uint64_t offset, uint64_t size) const {
  if (offset > bytes_.size || size > bytes_.size - offset)
    throw_truncated(name_ + ": ends at offset " + std::to_string(bytes_.size) + ", bytes up to " +
                    std::to_string(offset + size) + " expected");
  return bytes_.data + offset;
}

void MemorySource::read(uint64_t offset, uint64_t size, uint8_t* to) const {
  const uint8_t* from = map(offset, size);
  if (size) std::memcpy(to, from, size);
}

static std::string random_hex() {
  uint64_t v = 0;
  if (getrandom(&v, sizeof v, 0) != sizeof v) throw_invalid("getrandom failed");
  char text[17];
  std::snprintf(text, sizeof text, "%016lx", static_cast<unsigned long>(v));
  return text;
}

OutputFile::OutputFile(const std::string& path, bool sync, bool overwrite)
    : path_(path), sync_(sync), overwrite_(overwrite) {
  size_t slash = path.rfind('/');
  folder_ = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  struct stat s;
  if (!overwrite && lstat(path.c_str(), &s) == 0) {
    errno = EEXIST;
    fail("will not overwrite", path);
  }
  if (stat(path.c_str(), &s) == 0 && !S_ISREG(s.st_mode)) {  // renaming would replace a device
    errno = S_ISDIR(s.st_mode) ? EISDIR : EINVAL;
    fail("not a regular file", path);
  }
  temporary_ = path + "." + random_hex() + ".tmp";
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("cannot create", path);
}

OutputFile::~OutputFile() { abort(); }

void OutputFile::check_open() const {
  if (fd_ < 0) throw_invalid(path_ + ": already committed or aborted");
}

void OutputFile::write(std::vector<ByteView> views) {
  check_open();
  std::vector<iovec> io;
  for (const ByteView& v : views)
    if (v.size) io.push_back({const_cast<uint8_t*>(v.data), v.size});
  for (size_t i = 0; i < io.size();) {
    ssize_t n = ::writev(fd_, &io[i], static_cast<int>(std::min<size_t>(io.size() - i, IOV_MAX)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write", path_);
    written_ += static_cast<uint64_t>(n);
    auto left = static_cast<size_t>(n);
    for (; i < io.size() && left >= io[i].iov_len; i++) left -= io[i].iov_len;
    if (left) io[i].iov_base = static_cast<uint8_t*>(io[i].iov_base) + left, io[i].iov_len -= left;
  }
  // Start writing back while later blocks are still being compressed, so that the final fsync has little left to do.
  if (sync_ && written_ - flushed_ >= (8u << 20)) {
    sync_file_range(fd_, static_cast<off_t>(flushed_), static_cast<off_t>(written_ - flushed_), SYNC_FILE_RANGE_WRITE);
    flushed_ = written_;
  }
}

// Like rename(), but fails with EEXIST where rename() would replace a file that appeared in the meantime.
static int rename_new(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -1;  // these two: the file system cannot do it
  if (::link(from.c_str(), to.c_str()) != 0) return -1;
  ::unlink(from.c_str());
  return 0;
}

void OutputFile::commit() {
  check_open();
  if (sync_ && fsync(fd_) != 0) fail("cannot fsync", path_);
  int fd = fd_;
  fd_ = -1;
  bool published = false;
  auto cleanup = [&](const char* what) {
    int code = errno;
    if (!published) ::unlink(temporary_.c_str());
    errno = code;
    fail(what, path_);
  };
  if (::close(fd) != 0) cleanup("cannot close");
  if (overwrite_) {
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) cleanup("cannot rename");
  } else if (rename_new(temporary_, path_) != 0) {
    cleanup("cannot publish");
  }
  published = true;
  if (sync_) {
    int dir = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) cleanup("cannot open the folder of");
    int result = fsync(dir);
    int code = errno;
    ::close(dir);
    errno = code;
    // Some file systems cannot sync a folder; they say EINVAL.
    if (result != 0 && code != EINVAL) cleanup("cannot fsync the folder of");
  }
}

void OutputFile::abort() noexcept {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  ::unlink(temporary_.c_str());
}

}  // namespace mithril
