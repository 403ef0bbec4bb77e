#include "csrc/store/usage.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "csrc/base/error.h"
#include "csrc/store/folder.h"
#include "csrc/store/temporary.h"

namespace mithril {

static constexpr char kName[] = "usage";
static constexpr Totals kHead = {0x3147535548544d00, 0};  // "\0MTHUSG1"
static constexpr size_t kLongest = 1024;                  // changes, head included, until they are summed up
static constexpr int64_t kMost = int64_t{1} << 60;

void UsageFile::fail(const char* what) const {
  int code = errno;
  throw Error(code, std::string(what) + ": " + std::strerror(code), path_);
}

std::optional<Totals> UsageFile::add(Totals change) const {
  Descriptor file(openat(root_, kName, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::nullopt;
  if (!file) fail("cannot open");
  ssize_t n = ::write(file.get(), &change, sizeof change);
  if (n < 0) fail("cannot write");
  bool is_long;
  std::optional<Totals> total = read(file.get(), is_long);
  if (total && is_long) reset(*total, total);
  return total;
}

void UsageFile::correct(Totals change) const noexcept {
  try {
    add(change);
  } catch (...) {
  }
}

std::optional<Totals> UsageFile::total() const {
  Descriptor file(openat(root_, kName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  bool is_long;
  return file ? read(file.get(), is_long) : std::nullopt;
}

std::optional<Totals> UsageFile::read(int fd, bool& is_long) const {
  std::array<Totals, 2 * kLongest> changes;  // longer than that only if nobody could replace it
  ssize_t n = pread(fd, changes.data(), sizeof changes, 0);
  if (n < static_cast<ssize_t>(sizeof kHead) || static_cast<size_t>(n) % sizeof(Totals) != 0) return std::nullopt;
  size_t count = static_cast<size_t>(n) / sizeof(Totals);
  is_long = count >= kLongest;
  if (count == changes.size() || std::memcmp(&changes[0], &kHead, sizeof kHead) != 0) return std::nullopt;
  uint64_t bytes = 0, files = 0;  // unsigned: a damaged file must not overflow
  for (size_t i = 1; i < count; i++)
    bytes += static_cast<uint64_t>(changes[i].bytes), files += static_cast<uint64_t>(changes[i].files);
  Totals total{static_cast<int64_t>(bytes), static_cast<int64_t>(files)};
  if (total.bytes < 0 || total.bytes > kMost || total.files < 0 || total.files > kMost) return std::nullopt;
  return total;
}

// What came to the total; nothing where it became less.
static Totals increase(const std::optional<Totals>& before, const std::optional<Totals>& after) {
  if (!before || !after) return {};
  return {std::max(after->bytes - before->bytes, int64_t{0}), std::max(after->files - before->files, int64_t{0})};
}

bool UsageFile::reset(Totals counted, const std::optional<Totals>& before) const {
  Descriptor old(openat(root_, kName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  bool is_long;
  auto read_old = [&] { return old ? read(old.get(), is_long) : std::nullopt; };
  std::optional<Totals> now = read_old();
  Totals late = increase(before, now);
  const Totals content[] = {kHead, {counted.bytes + late.bytes, counted.files + late.files}};
  Temporary file(root_);
  if (!file || !file.write({reinterpret_cast<const uint8_t*>(content), sizeof content}) || !file.rename(root_, kName)) {
    unlinkat(root_, kName, 0);
    return false;
  }
  Totals later = increase(now, read_old());
  if (later.bytes || later.files) correct(later);
  return true;
}

}  // namespace mithril
