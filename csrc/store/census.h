// What lies in a store, found by looking at every file.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "csrc/store/usage.h"

namespace mithril {

enum class Tree { kObjects, kRecords };

inline constexpr Tree kTrees[] = {Tree::kObjects, Tree::kRecords};
inline const char* tree_name(Tree tree) { return tree == Tree::kObjects ? "objects" : "records"; }

inline constexpr size_t kNameDigits = 64;
// Whether `name` is kNameDigits lower-case hexadecimal digits.
bool is_name(const std::string& name);
// Whether a file of this name belongs into the folder first/second.
bool is_place(const std::string& name, const std::string& first, const std::string& second);

struct StoredFile {
  std::pair<int64_t, int64_t> used;  // seconds since the epoch and nanoseconds: the last put or get
  uint64_t size;
  Tree tree;
  std::array<char, kNameDigits> name;
};

struct Census {
  Totals totals;  // of all below the root, quarantine included
  uint64_t counts[2] = {0, 0};
  Totals quarantine;
  std::vector<StoredFile> files;  // only if asked for
};

// Counts, while others read and write. `list` fills files.
Census take_census(int root, bool list);

}  // namespace mithril
