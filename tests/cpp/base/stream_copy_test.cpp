#include "csrc/base/stream_copy.h"

#include <gtest/gtest.h>

#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

void check(uint64_t size, uint64_t to_shift, uint64_t from_shift) {
  Bytes from = random_bytes(from_shift + size, size);
  from.shrink_to_fit();
  Guarded to(size, to_shift);
  stream_copy(to.data(), from.data() + from_shift, size);
  finish_streaming();
  ASSERT_TRUE(to.intact()) << size << " bytes";
  ASSERT_TRUE(std::equal(to.data(), to.data() + size, from.data() + from_shift)) << size << " bytes";
}

TEST(StreamCopy, EverySizeAndAlignment) {
  for (uint64_t to = 0; to < 64; to++)
    for (uint64_t size = 0; size <= 330; size++) check(size, to, (to * 7 + size) % 64);
  for (uint64_t from = 0; from < 64; from++) check(300, from % 5, from);
}

TEST(StreamCopy, Large) {
  for (uint64_t size : {4095, 4096, 16384, 16385, 1 << 20, (1 << 20) + 77})
    for (uint64_t to : {0, 1, 63}) check(size, to, size % 3);
}

TEST(StreamCopy, PiecesSideBySide) {
  Bytes from = random_bytes(100000, 1);
  Guarded to(from.size(), 13);
  for (uint64_t at = 0, size = 1; at < from.size(); at += size, size = std::min(2 * size + 3, from.size() - at))
    stream_copy(to.data() + at, from.data() + at, size);
  finish_streaming();
  EXPECT_TRUE(to.intact());
  EXPECT_TRUE(std::equal(from.begin(), from.end(), to.data()));
}

}  // namespace
}  // namespace mithril
