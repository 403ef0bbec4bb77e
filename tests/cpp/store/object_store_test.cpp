#include "csrc/store/object_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "csrc/store/usage.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"
#include "tests/cpp/support/scoped.h"

namespace mithril {
namespace {

namespace fs = std::filesystem;

ByteView view(const Bytes& b) { return {b.data(), b.size()}; }

std::string name_of(unsigned number) {
  char text[65];
  std::snprintf(text, sizeof text, "%02x%02x%060x", number & 0xff, number >> 8 & 0xff, number);
  return text;
}

std::string path_of(const std::string& root, Tree tree, const std::string& name) {
  return root + "/" + tree_name(tree) + "/" + name.substr(0, 2) + "/" + name.substr(2, 2) + "/" + name;
}

std::optional<Bytes> read(const ObjectStore& store, Tree tree, const std::string& name, uint64_t max = 1 << 20) {
  std::optional<StoredReader> file = store.open(tree, name, max, true);
  if (!file) return std::nullopt;
  Bytes data(file->size());
  file->read(data.data());
  return data;
}

// The errno of the Error that the statement throws; 0 when it throws none.
template <class F>
int error_code(F&& statement) {
  try {
    statement();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kIo) << e.what();
    return e.code();
  }
  return 0;
}

void set_used(const std::string& path, time_t seconds) {
  timespec times[] = {{seconds, 0}, {seconds, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

struct Found {
  int64_t bytes = 0, files = 0;
};

// All below and with the root, bytes without the store's own files.
Found found_below(const std::string& root) {
  Found found{0, 1};
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    found.files++;
    std::string name = entry.path().filename();
    if (entry.is_regular_file() && name != "usage" && name != "CACHEDIR.TAG") found.bytes += entry.file_size();
  }
  return found;
}

TEST(ObjectStore, WritesAndReadsBothTrees) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 0, 0, false);
  Bytes one = random_bytes(5000, 1), two = random_bytes(7, 2);
  for (Tree tree : kTrees) {
    EXPECT_EQ(read(store, tree, name_of(1)), std::nullopt);
    EXPECT_EQ(store.size(tree, name_of(1)), std::nullopt);
    EXPECT_FALSE(store.remove(tree, name_of(1)));
    EXPECT_TRUE(store.put(tree, name_of(1), view(one)));
    EXPECT_EQ(read(store, tree, name_of(1)), one);
    EXPECT_EQ(store.size(tree, name_of(1)), 5000u);
    EXPECT_EQ(store.names(tree, 1), std::vector<std::string>{name_of(1)});
    EXPECT_TRUE(store.names(tree, 2).empty());
  }
  EXPECT_FALSE(store.put(Tree::kObjects, name_of(1), view(one))) << "there already";
  EXPECT_TRUE(store.put(Tree::kRecords, name_of(1), view(two))) << "records are replaced";
  EXPECT_EQ(read(store, Tree::kRecords, name_of(1)), two);
  EXPECT_TRUE(store.put(Tree::kObjects, name_of(1), view(two))) << "of another size: damaged, so replaced";
  EXPECT_TRUE(store.put(Tree::kObjects, name_of(2), {nullptr, 0}));
  EXPECT_EQ(read(store, Tree::kObjects, name_of(2)), Bytes());
  EXPECT_TRUE(store.remove(Tree::kObjects, name_of(1)));
  EXPECT_FALSE(store.remove(Tree::kObjects, name_of(1)));
  EXPECT_TRUE(fs::is_empty(folder / "s/tmp"));
}

TEST(ObjectStore, NamesAreChecked) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 0, 0, false);
  for (const std::string& name : {std::string(), std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'),
                                  "../" + std::string(61, 'a'), std::string(63, 'a') + '\0'}) {
    EXPECT_ERROR(kInvalidArgument, "64 lower-case", store.put(Tree::kObjects, name, {nullptr, 0}));
    EXPECT_ERROR(kInvalidArgument, "64 lower-case", store.open(Tree::kObjects, name, 1, true));
    EXPECT_ERROR(kInvalidArgument, "64 lower-case", store.size(Tree::kObjects, name));
    EXPECT_ERROR(kInvalidArgument, "64 lower-case", store.remove(Tree::kObjects, name));
    EXPECT_ERROR(kInvalidArgument, "64 lower-case", store.quarantine(Tree::kObjects, name));
  }
}

TEST(ObjectStore, RootIsPrivateAndAnExistingOneStays) {
  ScopedFolder folder;
  struct stat s;
  {
    ObjectStore store(folder / "new", 0, 0, false);
  }
  ASSERT_EQ(stat((folder / "new").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0700u);
  EXPECT_EQ(read_file(folder / "new/CACHEDIR.TAG").find("Signature: 8a477f597d28d172789f06886806bc55\n"), 0u);
  fs::create_directory(folder / "old");
  fs::permissions(folder / "old", fs::perms(0755));
  {
    ObjectStore store(folder / "old", 0, 0, false);
  }
  ASSERT_EQ(stat((folder / "old").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0755u);
  EXPECT_EQ(error_code([&] { ObjectStore(folder / "none", 0, 0, true); }), ENOENT);
  EXPECT_EQ(error_code([&] { ObjectStore(folder / "no/ne", 0, 0, false); }), ENOENT);
  write_file(folder / "file", std::string());
  EXPECT_EQ(error_code([&] { ObjectStore(folder / "file", 0, 0, false); }), ENOTDIR);
}

TEST(ObjectStore, ReadOnlyChangesNothing) {
  ScopedFolder folder;
  Bytes data = random_bytes(100, 1);
  ObjectStore writer(folder / "s", 0, 0, false);
  writer.put(Tree::kObjects, name_of(1), view(data));
  set_used(path_of(folder / "s", Tree::kObjects, name_of(1)), 1000);
  ObjectStore store(folder / "s", 0, 0, true);
  EXPECT_EQ(read(store, Tree::kObjects, name_of(1)), data);
  struct stat s;
  ASSERT_EQ(stat(path_of(folder / "s", Tree::kObjects, name_of(1)).c_str(), &s), 0);
  EXPECT_EQ(s.st_mtime, 1000);
  EXPECT_EQ(error_code([&] { store.put(Tree::kObjects, name_of(2), view(data)); }), EROFS);
  EXPECT_EQ(error_code([&] { store.remove(Tree::kObjects, name_of(1)); }), EROFS);
  EXPECT_EQ(error_code([&] { store.gc(); }), EROFS);
  EXPECT_EQ(error_code([&] { store.clear(); }), EROFS);
  EXPECT_FALSE(store.quarantine(Tree::kObjects, name_of(1)));
  EXPECT_EQ(read(store, Tree::kObjects, name_of(1)), data);
}

TEST(ObjectStore, OnlyRegularFilesOfBoundedSizeAreRead) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 0, 0, false);
  Bytes data = random_bytes(100, 1);
  std::string name = name_of(1), path = path_of(folder / "s", Tree::kObjects, name);
  store.put(Tree::kObjects, name, view(data));
  EXPECT_ERROR(kCorrupt, "100 bytes, at most 99", read(store, Tree::kObjects, name, 99));
  for (int kind = 0; kind < 3; kind++) {
    fs::remove(path);
    if (kind == 0) fs::create_symlink("/etc/passwd", path);
    if (kind == 1) fs::create_directories(path + "/below");
    if (kind == 2 && mkfifo(path.c_str(), 0666) != 0) FAIL();
    EXPECT_EQ(store.size(Tree::kObjects, name), std::nullopt);
    EXPECT_ERROR(kCorrupt, "not a regular file", read(store, Tree::kObjects, name));
    EXPECT_TRUE(store.quarantine(Tree::kObjects, name));
    EXPECT_EQ(read(store, Tree::kObjects, name), std::nullopt);
    EXPECT_TRUE(store.put(Tree::kObjects, name, view(data)));
    EXPECT_EQ(read(store, Tree::kObjects, name), data);
  }
  EXPECT_EQ(store.census().quarantine.files, 3);
  EXPECT_EQ(read_file("/etc/passwd").find("root"), 0u);
  store.clear();
  EXPECT_EQ(found_below(folder / "s").files, 7) << "of its own files all but records";
}

TEST(ObjectStore, AFileCutWhileItIsReadIsTruncated) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 0, 0, false);
  Bytes data = random_bytes(100, 1), to(100);
  store.put(Tree::kObjects, name_of(1), view(data));
  auto file = store.open(Tree::kObjects, name_of(1), 100, true);
  fs::resize_file(path_of(folder / "s", Tree::kObjects, name_of(1)), 40);
  EXPECT_ERROR(kTruncated, "offset 40", file->read(to.data()));
}

TEST(ObjectStore, LinksInTheTreesAreNotWrittenThrough) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 0, 0, false);
  Bytes data = random_bytes(100, 1);
  fs::create_directories(folder / "elsewhere");
  fs::create_directories(folder / "s/objects");
  fs::create_directory_symlink(folder / "elsewhere", folder / "s/objects/01");
  EXPECT_EQ(error_code([&] { store.put(Tree::kObjects, name_of(1), view(data)); }), ENOTDIR);
  EXPECT_TRUE(fs::is_empty(folder / "elsewhere"));
  EXPECT_TRUE(fs::is_empty(folder / "s/tmp"));
  write_file(folder / "elsewhere/stays", std::string("x"));
  store.gc();  // moves the link aside
  store.clear();
  EXPECT_TRUE(fs::exists(folder / "elsewhere/stays"));
  EXPECT_TRUE(store.put(Tree::kObjects, name_of(1), view(data)));
}

TEST(ObjectStore, AFailedWriteLeavesNothing) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 1 << 20, 0, false);
  Bytes data = random_bytes(300000, 1);
  store.put(Tree::kObjects, name_of(1), view(random_bytes(100, 2)));
  {
    ScopedFileLimit limit(100000);
    EXPECT_EQ(error_code([&] { store.put(Tree::kObjects, name_of(2), view(data)); }), EFBIG);
  }
  EXPECT_TRUE(fs::is_empty(folder / "s/tmp"));
  EXPECT_EQ(read(store, Tree::kObjects, name_of(2)), std::nullopt);
  // Its reservation went too: three more of this size fit, without evicting the first.
  for (unsigned i = 3; i < 6; i++) store.put(Tree::kObjects, name_of(i), view(data));
  EXPECT_NE(read(store, Tree::kObjects, name_of(1)), std::nullopt);
}

TEST(ObjectStore, EvictsWhatWasUsedLongestAgo) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 10300, 0, false);
  Bytes data = random_bytes(1000, 1);
  for (unsigned i = 0; i < 10; i++) {
    Tree tree = kTrees[i % 2];
    store.put(tree, name_of(i), view(data));
    set_used(path_of(folder / "s", tree, name_of(i)), 1000 + i * 7 % 10);  // 0, 3, 6, 9, 2, ... are in this order
  }
  EXPECT_NE(read(store, Tree::kObjects, name_of(0)), std::nullopt);  // used now, so the oldest no more
  store.put(Tree::kObjects, name_of(10), view(data));
  for (unsigned i = 0; i <= 10; i++)
    EXPECT_EQ(store.size(kTrees[i % 2], name_of(i)).has_value(), i != 3 && i != 6) << i;
  EXPECT_FALSE(fs::exists(folder / "s/objects/06")) << "empty folders go";
  EXPECT_EQ(store.census().totals.bytes, 9000);
}

TEST(ObjectStore, KeepsBothQuotasAtEveryStep) {
  ScopedFolder folder;
  constexpr int64_t kBytes = 100000, kFiles = 120;
  ObjectStore store(folder / "s", kBytes, kFiles, false);
  for (unsigned i = 0; i < 150; i++) {
    Bytes data = random_bytes(i % 3 ? 100 : 9000, i);
    store.put(kTrees[i % 2], name_of(i % 60 + (i % 2) * 256), view(data));
    Found found = found_below(folder / "s");
    ASSERT_LE(found.bytes, kBytes) << i;
    ASSERT_LE(found.files, kFiles) << i;
    ASSERT_EQ(store.size(kTrees[i % 2], name_of(i % 60 + (i % 2) * 256)), data.size()) << i;
    Census census = store.census();
    EXPECT_EQ(census.totals.bytes, found.bytes);
    ASSERT_EQ(census.totals.files,
              found.files + (fs::exists(folder / "s/lock") ? 0 : 1) + (fs::exists(folder / "s/usage") ? 0 : 1) +
                  (fs::exists(folder / "s/quarantine") ? 0 : 1) + (fs::exists(folder / "s/objects") ? 0 : 1) +
                  (fs::exists(folder / "s/records") ? 0 : 1));
  }
}

TEST(ObjectStore, TheUsageFileFollowsEveryChange) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 1 << 30, 1 << 20, false);
  Descriptor root(::open((folder / "s").c_str(), O_PATH | O_CLOEXEC));
  UsageFile usage(root.get(), folder / "s");
  Bytes small = random_bytes(10, 1), large = random_bytes(1000, 2);
  for (unsigned i = 0; i < 1100; i++) {  // more than the file holds until it is summed up
    Tree tree = kTrees[i % 2];
    store.put(tree, name_of(i % 300), view(i % 7 ? small : large));
    if (i % 5 == 0) store.remove(tree, name_of(i % 300));
  }
  Census census = store.census();
  ASSERT_TRUE(usage.total().has_value());
  EXPECT_EQ(usage.total()->bytes, census.totals.bytes);
  EXPECT_EQ(usage.total()->files, census.totals.files);
  EXPECT_LT(fs::file_size(folder / "s/usage"), 16u << 10);
}

TEST(ObjectStore, WhatExceedsTheQuotaIsRefused) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 1000, 0, false);
  store.put(Tree::kObjects, name_of(1), view(random_bytes(500, 1)));
  EXPECT_EQ(error_code([&] { store.put(Tree::kObjects, name_of(2), view(random_bytes(1001, 1))); }), EFBIG);
  EXPECT_TRUE(store.size(Tree::kObjects, name_of(1)).has_value());
  EXPECT_TRUE(store.put(Tree::kObjects, name_of(3), view(random_bytes(1000, 1)))) << "all of it may be used";
  EXPECT_ERROR(kInvalidArgument, "max_files is 15", ObjectStore(folder / "t", 0, 15, false));
}

TEST(ObjectStore, ADamagedUsageFileOnlyMeansCountingAnew) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 20000, 0, false);
  Bytes data = random_bytes(1000, 1);
  unsigned i = 0;
  for (const std::string& content :
       {std::string(), std::string("x"), std::string(16, 'x'), std::string(4096, 'x'), std::string(1 << 20, '\0')}) {
    for (int n = 0; n < 30; n++) store.put(Tree::kObjects, name_of(i++), view(data));
    write_file(folder / "s/usage", content);
    store.put(Tree::kObjects, name_of(i++), view(data));
    EXPECT_LE(store.census().totals.bytes, 20000);
    EXPECT_LE(fs::file_size(folder / "s/usage"), 200u);
  }
  fs::remove(folder / "s/usage");
  fs::create_directory(folder / "s/usage");
  EXPECT_NE(error_code([&] { store.put(Tree::kObjects, name_of(i++), view(data)); }), 0);
  fs::remove(folder / "s/usage");
  for (int n = 0; n < 30; n++) store.put(Tree::kObjects, name_of(i++), view(data));
  EXPECT_LE(store.census().totals.bytes, 20000);
}

TEST(ObjectStore, GcRemovesLeftovers) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 0, 0, false);
  Bytes data = random_bytes(1000, 1);
  store.put(Tree::kObjects, name_of(1), view(data));
  store.put(Tree::kObjects, name_of(2), view(data));
  store.remove(Tree::kObjects, name_of(2));
  write_file(folder / "s/tmp/old", data);
  write_file(folder / "s/tmp/new", data);
  set_used(folder / "s/tmp/old", time(nullptr) - 3601);
  store.put(Tree::kObjects, name_of(3), view(data));
  store.put(Tree::kObjects, name_of(4), view(data));
  store.quarantine(Tree::kObjects, name_of(3));
  for (const auto& entry : fs::directory_iterator(folder / "s/quarantine"))
    set_used(entry.path(), time(nullptr) - 24 * 3600 - 1);
  store.quarantine(Tree::kObjects, name_of(4));
  write_file(folder / "s/objects/stray", data);
  write_file(folder / "s/objects/01/00/stray", data);
  fs::rename(path_of(folder / "s", Tree::kObjects, name_of(1)), folder / ("s/objects/01/" + name_of(1)));
  store.gc();
  EXPECT_FALSE(fs::exists(folder / "s/tmp/old"));
  EXPECT_TRUE(fs::exists(folder / "s/tmp/new"));
  EXPECT_TRUE(fs::is_empty(folder / "s/objects"));
  EXPECT_EQ(store.census().quarantine.files, 4) << "the one put there now and three strays";
  store.clear();
  EXPECT_EQ(store.census().quarantine.files, 0);
}

TEST(ObjectStore, GcRepairsAnExceededQuota) {
  ScopedFolder folder;
  Bytes data = random_bytes(1000, 1);
  {
    ObjectStore store(folder / "s", 0, 0, false);
    for (unsigned i = 0; i < 50; i++) store.put(Tree::kObjects, name_of(i), view(data));
    store.quarantine(Tree::kObjects, name_of(49));
  }
  ObjectStore store(folder / "s", 20000, 0, false);
  Removed removed = store.gc();
  EXPECT_EQ(removed.files, 31u);
  EXPECT_EQ(removed.bytes, 31000u);
  EXPECT_EQ(store.census().totals.bytes, 18000);
  EXPECT_EQ(store.gc().files, 0u);
}

TEST(ObjectStore, AnOpenObjectOutlivesItsEviction) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 0, 0, false);
  Bytes data = random_bytes(1000, 1), to(1000);
  store.put(Tree::kObjects, name_of(1), view(data));
  auto file = store.open(Tree::kObjects, name_of(1), 1000, true);
  store.clear();
  EXPECT_EQ(store.size(Tree::kObjects, name_of(1)), std::nullopt);
  file->read(to.data());
  EXPECT_EQ(to, data);
}

TEST(ObjectStore, FoldersMayVanishAtAnyTime) {
  ScopedFolder folder;
  ObjectStore store(folder / "s", 1 << 20, 0, false);
  Bytes data = random_bytes(1000, 1);
  for (const char* name : {"objects", "records", "tmp", "usage", "lock"}) {
    store.put(Tree::kObjects, name_of(1), view(data));
    fs::remove_all(folder / (std::string("s/") + name));
    EXPECT_TRUE(store.put(Tree::kObjects, name_of(2), view(data)));
    EXPECT_EQ(read(store, Tree::kObjects, name_of(2)), data);
    store.clear();
  }
}

}  // namespace
}  // namespace mithril
