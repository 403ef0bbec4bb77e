#include "csrc/store/census.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "csrc/store/folder.h"

namespace mithril {

// The root, its four folders, the usage file, the lock and the cache tag.
static constexpr int64_t kOwnFiles = 8;

bool is_name(const std::string& name) {
  return name.size() == kNameDigits &&
         std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_place(const std::string& name, const std::string& first, const std::string& second) {
  return is_name(name) && name.compare(0, 2, first) == 0 && name.compare(2, 2, second) == 0;
}

static bool look_at(const Descriptor& folder, const std::string& name, struct stat& s) {
  return fstatat(folder.get(), name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0;
}

// What lies directly in the folder `name` of the root.
static Totals count_flat(int root, const char* name) {
  Totals totals;
  struct stat s;
  Listing listing = list_folder(root, name);
  for (const std::string& entry : listing.names)
    if (look_at(listing.folder, entry, s)) totals.bytes += s.st_size, totals.files++;
  return totals;
}

static void count_leaf(const Listing& leaf, Tree tree, const std::string& first, const std::string& second, bool list,
                       Census& census) {
  struct stat s;
  for (const std::string& name : leaf.names) {
    if (!look_at(leaf.folder, name, s)) continue;  // gone in the meantime
    census.totals.bytes += s.st_size, census.totals.files++;
    if (!is_place(name, first, second)) continue;
    census.counts[static_cast<int>(tree)]++;
    if (!list) continue;
    StoredFile file{{s.st_mtim.tv_sec, s.st_mtim.tv_nsec}, static_cast<uint64_t>(s.st_size), tree, {}};
    std::copy(name.begin(), name.end(), file.name.begin());
    census.files.push_back(file);
  }
}

static void count_tree(int root, Tree tree, bool list, Census& census) {
  Listing top = list_folder(root, tree_name(tree));
  for (const std::string& first : top.names) {
    Listing middle = list_folder(top.folder.get(), first.c_str());
    for (const std::string& second : middle.names)
      count_leaf(list_folder(middle.folder.get(), second.c_str()), tree, first, second, list, census);
    census.totals.files += static_cast<int64_t>(1 + middle.names.size());
  }
}

Census take_census(int root, bool list) {
  Census census;
  // Temporary files first: one that is published meanwhile is counted twice rather than not at all.
  census.totals = count_flat(root, "tmp");
  for (Tree tree : kTrees) count_tree(root, tree, list, census);
  census.quarantine = count_flat(root, "quarantine");
  census.totals.bytes += census.quarantine.bytes, census.totals.files += census.quarantine.files + kOwnFiles;
  return census;
}

}  // namespace mithril
