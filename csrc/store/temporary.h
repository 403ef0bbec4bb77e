// A new file in the folder tmp of a store, to be written and then given its name.
#pragma once
#include <string>

#include "csrc/base/bytes.h"
#include "csrc/store/folder.h"

namespace mithril {

// What fails returns false, or an object that is false, with errno. The file goes unless it was renamed.
class Temporary {
 public:
  explicit Temporary(int root);
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary();
  explicit operator bool() const { return is_there_; }
  bool write(ByteView data);  // all of it, once
  bool rename(int folder, const char* name);

 private:
  int root_;
  std::string path_;
  Descriptor file_;
  bool is_there_;
};

}  // namespace mithril
