// Folders by descriptor. Names are single components and are never followed when they are symbolic links.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace mithril {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  bool close();  // false when what was written may be lost; errno says why

 private:
  int fd_;
};

// The folder `name` in `parent`, for paths below it; none, and errno, when it is absent, no folder or not open to this
// user. Throws kIo for what is nobody's intention, such as too many open files: that must not look like absence.
Descriptor open_folder(int parent, const char* name);

// Makes it first if it is absent, and adds 1 to `made` then. Mode follows the umask.
Descriptor make_folder(int parent, const char* name, int& made);

// A folder and the names in it, without . and ..; none as above.
struct Listing {
  Descriptor folder;
  std::vector<std::string> names;
};
Listing list_folder(int parent, const char* name);

// Removes `name` and all below it; false when something stays.
bool remove_all(int parent, const char* name);

// A name for a file that must not exist yet: the process and a random number.
std::string unique_name();

}  // namespace mithril
