// Frames of zstd built by hand: what the format allows, and what a reader must reject.
#include "csrc/coder/coder.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace {

const Bytes kContent = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Bytes kMagic = {0x28, 0xb5, 0x2f, 0xfd};
const Bytes kLastBlock = Bytes{0x41, 0x00, 0x00} + kContent;  // raw, 8 bytes

struct Row {
  const char* what;
  Bytes stream;
  const char* error;  // null: decodes to kContent
};

const Row kRows[] = {
    {"single segment", kMagic + Bytes{0x20, 8} + kLastBlock, nullptr},
    {"window of 1 KiB, content size of 8 bytes", kMagic + Bytes{0xc0, 0x00, 8, 0, 0, 0, 0, 0, 0, 0} + kLastBlock,
     nullptr},
    {"window of 1 MiB", kMagic + Bytes{0xc0, 0x50, 8, 0, 0, 0, 0, 0, 0, 0} + kLastBlock, nullptr},
    {"content checksum", kMagic + Bytes{0x24, 8} + kLastBlock + Bytes{0xb7, 0x34, 0x46, 0x5b}, nullptr},
    {"two blocks, the first empty", kMagic + Bytes{0x20, 8, 0x00, 0x00, 0x00} + kLastBlock, nullptr},
    {"run-length block", kMagic + Bytes{0x20, 8, 0x43, 0x00, 0x00, 'a'}, "differs"},
    {"wrong content checksum", kMagic + Bytes{0x24, 8} + kLastBlock + Bytes{0xb7, 0x34, 0x46, 0x5c}, "checksum"},
    {"window of 1.125 MiB", kMagic + Bytes{0xc0, 0x51, 8, 0, 0, 0, 0, 0, 0, 0} + kLastBlock, "window"},
    {"window of 1 TiB", kMagic + Bytes{0xc0, 0xf0, 8, 0, 0, 0, 0, 0, 0, 0} + kLastBlock, "zstd stream"},
    {"no content size", kMagic + Bytes{0x00, 0x58} + kLastBlock, "not one frame of 8 bytes"},
    {"content size too small", kMagic + Bytes{0x20, 7} + kLastBlock, "not one frame of 8 bytes"},
    {"content size too large", kMagic + Bytes{0x20, 9} + kLastBlock, "not one frame of 8 bytes"},
    {"content size of 2^63", kMagic + Bytes{0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80} + kLastBlock, "not one frame of 8 bytes"},
    {"content shorter than its size", kMagic + Bytes{0x20, 8, 0x39, 0, 0} + Bytes(7, 'x'), "zstd stream"},
    {"content longer than its size", kMagic + Bytes{0x20, 8, 0x49, 0, 0} + Bytes(9, 'x'), "zstd stream"},
    {"dictionary id 1", kMagic + Bytes{0x21, 1, 8} + kLastBlock, "without dictionary"},
    {"reserved bit", kMagic + Bytes{0x28, 8} + kLastBlock, "zstd stream"},
    {"reserved block type", kMagic + Bytes{0x20, 8, 0x47, 0, 0} + kContent, "zstd stream"},
    {"trailing byte", kMagic + Bytes{0x20, 8} + kLastBlock + Bytes{0}, "not one frame"},
    {"two frames", kMagic + Bytes{0x20, 8} + kLastBlock + kMagic + Bytes{0x20, 0, 1, 0, 0}, "not one frame"},
    {"skippable frame after", kMagic + Bytes{0x20, 8} + kLastBlock + Bytes{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0},
     "not one"},
    {"skippable frame before", Bytes{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0} + kMagic + Bytes{0x20, 8} + kLastBlock,
     "not one"},
    {"skippable frame of 8 bytes", Bytes{0x50, 0x2a, 0x4d, 0x18, 8, 0, 0, 0} + kContent, "not one frame"},
    {"magicless", Bytes{0x20, 8} + kLastBlock, "not one frame"},
    {"zstd 0.7", Bytes{0x27, 0xb5, 0x2f, 0xfd, 0x20, 8} + kLastBlock, "not one frame"},
    {"empty", {}, "not one frame"},
};

TEST(Zstd, FramesByHand) {
  CoderScratch scratch;
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.what);
    Guarded out(8);
    auto decode_row = [&] {
      decode(Coder::kZstd, {row.stream.data(), row.stream.size()}, {nullptr, 8, 8}, nullptr, out.data(), scratch);
      if (Bytes(out.data(), out.data() + 8) != kContent) throw_corrupt("differs");
    };
    if (row.error)
      EXPECT_ERROR(kCorrupt, row.error, decode_row());
    else
      EXPECT_NO_THROW(decode_row());
    EXPECT_TRUE(out.intact());
  }
}

TEST(Zstd, ZeroWhenTheFrameDoesNotFit) {
  CoderScratch scratch;
  Bytes random = random_bytes(1000, 1);
  Plane plane{random.data(), 1000, 8};
  for (uint64_t capacity : {0, 1, 8, 500, 999}) {
    Guarded out(capacity);
    EXPECT_EQ(encode_zstd(plane, 3, out.data(), capacity, scratch.zstd), 0u);
    EXPECT_TRUE(out.intact());
  }
}

TEST(Zstd, EveryLevelRoundTrips) {
  CoderScratch scratch;
  Bytes bytes = sample(info(DType::kInt32), Pattern::kCounter, 5000), out(bytes.size()), stream(bytes.size());
  for (int level = 1; level <= 22; level++) {
    uint64_t n = encode_zstd({bytes.data(), 5000, 32}, level, stream.data(), stream.size(), scratch.zstd);
    ASSERT_GT(n, 0u);
    decode(Coder::kZstd, {stream.data(), n}, {nullptr, 5000, 32}, nullptr, out.data(), scratch);
    EXPECT_TRUE(out == bytes);
  }
  EXPECT_GE(zstd_version(), 10400u);
}

TEST(Zstd, ContextWorksAfterAnError) {
  CoderScratch scratch;
  Bytes good = kRows[0].stream, bad = kRows[5 + 1].stream, out(8);
  for (int i = 0; i < 3; i++) {
    EXPECT_ERROR(kCorrupt, "checksum",
                 decode(Coder::kZstd, {bad.data(), bad.size()}, {nullptr, 8, 8}, nullptr, out.data(), scratch));
    decode(Coder::kZstd, {good.data(), good.size()}, {nullptr, 8, 8}, nullptr, out.data(), scratch);
    EXPECT_TRUE(out == kContent);
  }
}

}  // namespace
}  // namespace mithril
