#include "csrc/base/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"
#include "tests/cpp/support/scoped.h"

namespace mithril {
namespace {

ByteView view(const std::string& s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }

// The statement throws an Error of kind io with this errno and path.
template <class F>
void expect_io(int code, const std::string& path, F&& statement) {
  try {
    statement();
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kIo) << e.what();
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_EQ(e.path(), path);
  }
}

TEST(OutputFile, CommitPublishesAllBytes) {
  for (bool sync : {false, true})
    for (bool overwrite : {false, true}) {
      ScopedFolder folder;
      std::string path = folder / "a", one = "one", two = "two";
      OutputFile file(path, sync, overwrite);
      file.write({view(one), {}, view(two)});
      file.write({});
      EXPECT_EQ(access(path.c_str(), F_OK), -1) << "nothing is visible before commit";
      EXPECT_EQ(file.bytes_written(), 6u);
      file.commit();
      EXPECT_EQ(read_file(path), "onetwo");
      EXPECT_EQ(folder.files(), 1u);
      EXPECT_ERROR(kInvalidArgument, "already committed", file.write({view(one)}));
      EXPECT_ERROR(kInvalidArgument, "already committed", file.commit());
      file.abort();
      EXPECT_EQ(folder.files(), 1u);
    }
}

TEST(OutputFile, ManyPiecesAndBigOnes) {  // more than IOV_MAX, and more than the 8 MiB after which it is written back
  ScopedFolder folder;
  Bytes bytes = random_bytes(3000, 1), big = random_bytes(9 << 20, 2);
  std::vector<ByteView> views;
  for (const uint8_t& b : bytes) views.push_back({&b, 1});
  views.push_back({big.data(), big.size()});
  OutputFile file(folder / "a", true, false);
  file.write(views);
  file.commit();
  EXPECT_TRUE(read_file(folder / "a") == std::string(bytes.begin(), bytes.end()) + std::string(big.begin(), big.end()));
}

TEST(OutputFile, AbortAndDestructorLeaveNothing) {
  ScopedFolder folder;
  write_file<std::string>(folder / "a", "old");
  {
    OutputFile dropped(folder / "a", false, true), aborted(folder / "a", false, true);
    std::string text = "new";
    dropped.write({view(text)}), aborted.write({view(text)});
    EXPECT_EQ(folder.files(), 3u);
    aborted.abort();
    EXPECT_EQ(folder.files(), 2u);
  }
  EXPECT_EQ(folder.files(), 1u);
  EXPECT_EQ(read_file(folder / "a"), "old");
}

TEST(OutputFile, OverwriteReplaces) {
  ScopedFolder folder;
  write_file<std::string>(folder / "a", "old");
  std::string text = "new";
  OutputFile file(folder / "a", true, true);
  file.write({view(text)});
  file.commit();
  EXPECT_EQ(read_file(folder / "a"), "new");
}

TEST(OutputFile, WithoutOverwriteAnExistingFileStays) {
  ScopedFolder folder;
  std::string path = folder / "a";
  write_file<std::string>(path, "old");
  expect_io(EEXIST, path, [&] { OutputFile(path, false, false); });
  std::string late = folder / "b";
  OutputFile file(late, false, false);
  write_file<std::string>(late, "appeared in between");
  expect_io(EEXIST, late, [&] { file.commit(); });
  EXPECT_EQ(read_file(late), "appeared in between");
  EXPECT_EQ(folder.files(), 2u);
  ASSERT_EQ(symlink("nowhere", (folder / "c").c_str()), 0);
  expect_io(EEXIST, folder / "c", [&] { OutputFile(folder / "c", false, false); });
}

TEST(OutputFile, ModeFollowsTheUmask) {
  for (mode_t mask : {0022, 0077, 0002}) {
    ScopedFolder folder;
    mode_t old = umask(mask);
    OutputFile file(folder / "a", false, false);
    umask(old);
    file.commit();
    struct stat s;
    ASSERT_EQ(stat((folder / "a").c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777, 0666 & ~mask);
  }
}

TEST(OutputFile, ErrorsOfTheSystem) {
  ScopedFolder folder;
  expect_io(ENOENT, folder / "no/a", [&] { OutputFile(folder / "no/a", false, true); });
  write_file<std::string>(folder / "file", "");
  expect_io(ENOTDIR, folder / "file/a", [&] { OutputFile(folder / "file/a", false, true); });
  std::filesystem::create_directory(folder / "folder");
  expect_io(EISDIR, folder / "folder", [&] { OutputFile(folder / "folder", false, true); });
  EXPECT_EQ(folder.files(), 2u);
  if (geteuid() != 0) {
    std::filesystem::permissions(folder / "folder", std::filesystem::perms::owner_read);
    expect_io(EACCES, folder / "folder/a", [&] { OutputFile(folder / "folder/a", false, true); });
  }
}

TEST(OutputFile, FullDiskLeavesNothing) {
  ScopedFolder folder;
  {
    ScopedFileLimit limit(1 << 20);
    Bytes bytes(3 << 20);
    OutputFile file(folder / "a", false, false);
    expect_io(EFBIG, folder / "a", [&] { file.write({{bytes.data(), bytes.size()}}); });
  }
  EXPECT_EQ(folder.files(), 0u);
}

TEST(FileSource, ReadsAtAnyOffset) {
  ScopedFolder folder;
  write_file<std::string>(folder / "a", "0123456789");
  FileSource source(folder / "a");
  EXPECT_EQ(source.size(), 10u);
  EXPECT_EQ(source.name(), folder / "a");
  EXPECT_EQ(source.map(0, 1), nullptr);
  char to[5] = "....";
  source.read(3, 4, reinterpret_cast<uint8_t*>(to));
  EXPECT_STREQ(to, "3456");
  source.read(10, 0, nullptr);
  EXPECT_ERROR(kTruncated, "ends at offset 10, 1 more bytes", source.read(7, 4, reinterpret_cast<uint8_t*>(to)));
  write_file<std::string>(folder / "a", "01");  // cut short while it is open
  EXPECT_ERROR(kTruncated, "ends at offset", source.read(1, 4, reinterpret_cast<uint8_t*>(to)));
}

TEST(FileSource, OnlyRegularFiles) {
  ScopedFolder folder;
  expect_io(ENOENT, folder / "a", [&] { FileSource(folder / "a"); });
  expect_io(EISDIR, folder / ".", [&] { FileSource(folder / "."); });
  expect_io(EINVAL, "/dev/null", [&] { FileSource("/dev/null"); });
}

TEST(MemorySource, MapsAndReads) {
  auto bytes = std::make_shared<Bytes>(random_bytes(100, 1));
  MemorySource source({bytes->data(), bytes->size()}, bytes);
  EXPECT_EQ(bytes.use_count(), 2);
  EXPECT_EQ(source.map(40, 60), bytes->data() + 40);
  uint8_t to[10];
  source.read(90, 10, to);
  EXPECT_EQ(std::memcmp(to, &(*bytes)[90], 10), 0);
  for (auto [offset, size] : {std::pair<uint64_t, uint64_t>{91, 10}, {101, 0}, {1, ~uint64_t{0}}, {~uint64_t{0}, 2}}) {
    EXPECT_ERROR(kTruncated, "ends at offset 100", source.read(offset, size, to));
    EXPECT_ERROR(kTruncated, "ends at offset 100", source.map(offset, size));
  }
}

}  // namespace
}  // namespace mithril
