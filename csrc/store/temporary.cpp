#include "csrc/store/temporary.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace mithril {

Temporary::Temporary(int root) : root_(root), path_("tmp/" + unique_name()) {
  auto create = [&] { return Descriptor(openat(root_, path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)); };
  file_ = create();
  if (!file_ && errno == ENOENT && (mkdirat(root_, "tmp", 0777) == 0 || errno == EEXIST)) file_ = create();
  is_there_ = static_cast<bool>(file_);
}

Temporary::~Temporary() {
  if (!is_there_) return;
  int code = errno;  // of the failure that led here
  unlinkat(root_, path_.c_str(), 0);
  errno = code;
}

bool Temporary::write(ByteView data) {
  constexpr uint64_t kMost = 1u << 30;
  while (data.size) {
    ssize_t n = ::write(file_.get(), data.data, std::min<uint64_t>(data.size, kMost));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data.data += n, data.size -= static_cast<uint64_t>(n);
  }
  return file_.close();
}

bool Temporary::rename(int folder, const char* name) {
  if (renameat(root_, path_.c_str(), folder, name) != 0) return false;
  is_there_ = false;
  return true;
}

}  // namespace mithril
