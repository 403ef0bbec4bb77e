#include "csrc/format/header.h"

#include "csrc/base/checksum.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

constexpr uint64_t kSize = 64 + 64 + 128;  // header, an index of 24 bytes, footer

Footer footer() { return {kSize, 64, 24, {11, 12}}; }

// An archive of which only the ends matter.
Bytes ends(const Footer& f = footer()) {
  Bytes bytes(kSize), head = write_header(10504), tail = write_footer(f, 10504);
  EXPECT_EQ(head.size(), kHeaderSize);
  EXPECT_EQ(tail.size(), kFooterSize);
  std::copy(head.begin(), head.end(), bytes.begin());
  std::copy(tail.begin(), tail.end(), bytes.end() - kFooterSize);
  return bytes;
}

void seal(Bytes& bytes, uint64_t begin, uint64_t size) {
  uint64_t sum = xxh3_64(&bytes[begin], size);
  std::memcpy(&bytes[begin + size], &sum, 8);
}

Footer read(const Bytes& b) {
  return read_ends({b.data(), std::min<uint64_t>(b.size(), kHeaderSize)},
                   b.size() < kFooterSize ? ByteView{} : ByteView{b.data() + b.size() - kFooterSize, kFooterSize},
                   b.size(), "a");
}

TEST(Ends, RoundTrip) {
  Footer f = read(ends());
  EXPECT_EQ(f.archive_size, kSize);
  EXPECT_EQ(f.index_offset, 64u);
  EXPECT_EQ(f.index_size, 24u);
  EXPECT_TRUE(f.content_id == footer().content_id);
}

TEST(Ends, EveryFlippedBitIsCorrupt) {
  Bytes bytes = ends();
  for (uint64_t at = 0; at < kSize; at++)
    for (int bit = 0; bit < 8 && (at < 64 || at >= 128); bit++) {
      bytes[at] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_ERROR(kCorrupt, "offset", read(bytes)) << at;
      bytes[at] ^= static_cast<uint8_t>(1 << bit);
    }
}

TEST(Ends, FieldsWithValidChecksums) {
  constexpr uint64_t kEnd = 128;
  struct Row {
    const char* what;
    std::vector<uint64_t> at;  // bytes to change; both ends are sealed again
    ErrorKind kind;
    const char* text;
  };
  const Row rows[] = {
      {"major", {8, kEnd + 48}, ErrorKind::kUnsupported, "header: major"},
      {"major of the footer", {kEnd + 48}, ErrorKind::kUnsupported, "footer: major"},
      {"must_understand", {16, kEnd + 56}, ErrorKind::kUnsupported, "must_understand"},
      {"must_understand, top bit", {23}, ErrorKind::kUnsupported, "header: must_understand"},
      {"reserved of the header", {32}, ErrorKind::kCorrupt, "reserved is not zero (offset 32)"},
      {"reserved of the header, last", {55}, ErrorKind::kCorrupt, "reserved is not zero (offset 55)"},
      {"reserved of the footer", {kEnd + 24}, ErrorKind::kCorrupt, "reserved is not zero (offset 152)"},
      {"second reserved of the footer", {kEnd + 111}, ErrorKind::kCorrupt, "reserved is not zero (offset 239)"},
      {"minor differs", {10}, ErrorKind::kCorrupt, "header and footer differ"},
      {"zstd differs", {kEnd + 52}, ErrorKind::kCorrupt, "header and footer differ"},
      {"may_ignore differs", {24}, ErrorKind::kCorrupt, "header and footer differ"},
      {"archive_size", {kEnd}, ErrorKind::kCorrupt, "archive_size"},
      {"archive_size, top byte", {kEnd + 7}, ErrorKind::kCorrupt, "archive_size"},
      {"index_offset no multiple of 64", {kEnd + 8}, ErrorKind::kCorrupt, "index_offset"},
      {"index_offset far away", {kEnd + 15}, ErrorKind::kCorrupt, "index_offset"},
      {"index_size, top byte", {kEnd + 23}, ErrorKind::kCorrupt, "index_size"},
      {"minor and may_ignore", {10, 24, kEnd + 50, kEnd + 64}, ErrorKind::kNotFound, ""},  // a later 1.x: fine
  };
  for (const Row& row : rows) {
    Bytes bytes = ends();
    for (uint64_t at : row.at) bytes[at] ^= 0x81;
    seal(bytes, 0, 56), seal(bytes, kEnd, 112);
    SCOPED_TRACE(row.what);
    if (row.kind == ErrorKind::kNotFound)
      EXPECT_NO_THROW(read(bytes));
    else
      EXPECT_TRUE(fails(row.kind, row.text, [&] { read(bytes); }));
  }
}

TEST(Ends, IndexOutOfItsPlace) {
  constexpr uint64_t kMax = ~uint64_t{0};
  for (Footer f : {Footer{kSize, 0, 24, {}}, Footer{kSize, 128, 24, {}}, Footer{kSize, 192, 0, {}},
                   Footer{kSize, 64, 0, {}}, Footer{kSize, 64, 65, {}}, Footer{kSize, 64, kMax, {}},
                   Footer{kSize, kMax - 63, 64, {}}, Footer{kSize, 256, 0, {}}, Footer{kSize, 64, kMax - 127, {}}})
    EXPECT_ERROR(kCorrupt, "do not lead to the footer", read(ends(f))) << f.index_offset << " " << f.index_size;
  EXPECT_NO_THROW(read(ends({kSize, 64, 1, {}})));
  EXPECT_NO_THROW(read(ends({kSize, 64, 64, {}})));
  for (uint64_t size : {uint64_t{0}, kSize - 1, kSize + 1, kMax})
    EXPECT_ERROR(kCorrupt, "archive_size", read(ends({size, 64, 24, {}})));
}

TEST(Ends, CutShortIsTruncatedOthersAreNoArchive) {
  Bytes whole = ends();
  for (uint64_t n = 0; n < kSize; n++) {
    Bytes cut(whole.begin(), whole.begin() + n);
    EXPECT_ERROR(kTruncated, "a: ", read(cut)) << n;
    if (n == 0) continue;
    cut[n < 8 ? n - 1 : 7] ^= 1;
    EXPECT_ERROR(kCorrupt, "not a mithril archive", read(cut)) << n;
  }
  Bytes later(whole.begin(), whole.begin() + 100);
  later[8] = 2;
  seal(later, 0, 56);
  EXPECT_ERROR(kUnsupported, "header: major 2", read(later)) << "whatever its end looks like";
  whole.push_back(0);
  EXPECT_ERROR(kTruncated, "or bytes follow it", read(whole));
  EXPECT_ERROR(kCorrupt, "not a mithril archive", read(random_bytes(1000, 1)));
}

}  // namespace
}  // namespace mithril
