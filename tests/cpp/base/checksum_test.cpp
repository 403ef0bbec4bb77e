#include "csrc/base/checksum.h"

#include <gtest/gtest.h>

#include "csrc/base/cpu.h"
#include "csrc/base/simd.h"
#include "tests/cpp/support/samples.h"

namespace mithril {
namespace scalar {
uint64_t xxh3_64(const void* data, size_t size) noexcept;
}
#ifdef MITHRIL_SIMD
#define MITHRIL_DECLARE(isa)                                                            \
  namespace isa {                                                                       \
  uint64_t xxh3_64(const void* data, size_t size) noexcept;                             \
  void xxh3_128(const void* data, size_t size, uint64_t* low, uint64_t* high) noexcept; \
  void xxh3_64_begin(void*) noexcept;                                                   \
  void xxh3_64_add(void*, const void*, size_t) noexcept;                                \
  uint64_t xxh3_64_end(const void*) noexcept;                                           \
  }
MITHRIL_DECLARE(avx2)
MITHRIL_DECLARE(avx512)
#endif
namespace {

// The data of the reference implementation's own sanity check.
Bytes reference_data(size_t n) {
  Bytes bytes(n);
  uint64_t x = 2654435761;
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(x >> 56), x *= 11400714785074694797u;
  return bytes;
}

TEST(Checksum, KnownVectors64) {
  struct Row {
    size_t size;
    uint64_t hash;
  };
  constexpr Row kRows[] = {{0, 0x2D06800538D394C2},   {1, 0xC44BDFF4074EECDB},    {6, 0x27B56A84CD2D7325},
                           {12, 0xA713DAF0DFBB77E7},  {24, 0xA3FE70BF9D3510EB},   {48, 0x397DA259ECBA1F11},
                           {80, 0xBCDEFBBB2C47C90A},  {195, 0xCD94217EE362EC3A},  {403, 0xCDEB804D65C6DEA4},
                           {512, 0x617E49599013CB6B}, {2048, 0xDD59E2C3A5F038E0}, {2240, 0x6E73A90539CF2948},
                           {2367, 0xCB37AEB9E5D361ED}};
  for (const Row& row : kRows) EXPECT_EQ(xxh3_64(reference_data(row.size).data(), row.size), row.hash) << row.size;
}

TEST(Checksum, KnownVectors128) {
  struct Row {
    size_t size;
    Hash128 hash;
  };
  constexpr Row kRows[] = {
      {0, {0x6001C324468D497F, 0x99AA06D3014798D8}},   {1, {0xC44BDFF4074EECDB, 0xA6CD5E9392000F6A}},
      {6, {0x3E7039BDDA43CFC6, 0x082AFE0B8162D12A}},   {12, {0x061A192713F69AD9, 0x6E3EFD8FC7802B18}},
      {24, {0x1E7044D28B1B901D, 0x0CE966E4678D3761}},  {48, {0xF942219AED80F67B, 0xA002AC4E5478227E}},
      {403, {0xCDEB804D65C6DEA4, 0x1B6DE21E332DD73D}}, {512, {0x617E49599013CB6B, 0x18D2D110DCC9BCA1}}};
  for (const Row& row : kRows) EXPECT_TRUE(xxh3_128(reference_data(row.size).data(), row.size) == row.hash) << row.size;
}

// Pieces of one size, of random sizes, and with empty ones between.
TEST(Checksum, InPieces) {
  Bytes bytes = random_bytes(20000, 5);
  for (size_t n : {0, 1, 16, 17, 240, 241, 255, 256, 257, 1024, 1025, 4096, 16384, 20000}) {
    uint64_t expected = xxh3_64(bytes.data(), n);
    for (size_t piece : {1, 7, 64, 255, 256, 257, 1024, 4096, 16384, 20000}) {
      Xxh3 hash;
      for (size_t at = 0; at < n; at += piece) hash.add(bytes.data() + at, std::min(piece, n - at));
      EXPECT_EQ(hash.end(), expected) << n << " in pieces of " << piece;
      EXPECT_EQ(hash.end(), expected) << "the end may be asked for twice";
    }
    Random random(n);
    for (int k = 0; k < 50; k++) {
      Xxh3 hash;
      for (size_t at = 0, size; at < n; at += size) {
        size = std::min<size_t>(random.below(random.below(3) ? 300 : 9000), n - at);
        hash.add(bytes.data() + at, size);
      }
      hash.add(bytes.data(), 0);
      EXPECT_EQ(hash.end(), expected) << n;
    }
  }
  // It goes on after an end.
  Xxh3 hash;
  for (size_t at = 0; at < 5000; at += 500) {
    EXPECT_EQ(hash.end(), xxh3_64(bytes.data(), at));
    hash.add(bytes.data() + at, 500);
  }
}

#ifdef MITHRIL_SIMD
struct Variant {
  Isa isa;
  uint64_t (*xxh3_64)(const void*, size_t);
  void (*xxh3_128)(const void*, size_t, uint64_t*, uint64_t*);
  void (*begin)(void*);
  void (*add)(void*, const void*, size_t);
  uint64_t (*end)(const void*);
};
constexpr Variant kVariants[] = {
    {Isa::kAvx2, avx2::xxh3_64, avx2::xxh3_128, avx2::xxh3_64_begin, avx2::xxh3_64_add, avx2::xxh3_64_end},
    {Isa::kAvx512, avx512::xxh3_64, avx512::xxh3_128, avx512::xxh3_64_begin, avx512::xxh3_64_add, avx512::xxh3_64_end}};

TEST(Checksum, VariantsAreEqual) {
  Bytes bytes = random_bytes(1000001, 3);
  for (const Variant& v : kVariants) {
    if (!isa_supported(v.isa)) continue;
    SCOPED_TRACE(isa_name(v.isa));
    auto expect_equal = [&](size_t shift, size_t n) {
      uint64_t expected = scalar::xxh3_64(&bytes[shift], n);
      EXPECT_EQ(expected, v.xxh3_64(&bytes[shift], n)) << n << " from " << shift;
      EXPECT_EQ(xxh3_64(&bytes[shift], n), expected);
      Hash128 h;
      v.xxh3_128(&bytes[shift], n, &h.low, &h.high);
      EXPECT_TRUE(xxh3_128(&bytes[shift], n) == h) << n;
      alignas(64) uint8_t state[kXxh3StateSize];
      v.begin(state);
      v.add(state, &bytes[shift], n / 3), v.add(state, &bytes[shift + n / 3], n - n / 3);
      EXPECT_EQ(v.end(state), expected) << n << " in two pieces";
    };
    for (size_t n = 0; n <= 300; n++) expect_equal(n % 7, n);
    for (size_t n : {1024, 1025, 4095, 65536, 65537, 262144, 1000000}) expect_equal(1, n);
  }
}
#endif

TEST(Checksum, EveryBitCounts) {
  for (size_t n : {1, 8, 17, 129, 241, 600}) {
    Bytes bytes = random_bytes(n, n);
    uint64_t before = xxh3_64(bytes.data(), n);
    for (size_t bit = 0; bit < 8 * n; bit++) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_NE(xxh3_64(bytes.data(), n), before);
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
  }
}

TEST(Cpu, NamesAndSupport) {
  EXPECT_TRUE(isa_supported(Isa::kScalar));
  EXPECT_TRUE(isa_supported(isa()));
  EXPECT_STREQ(isa_name(Isa::kScalar), "scalar");
  EXPECT_STREQ(isa_name(Isa::kSsse3), "ssse3");
  EXPECT_STREQ(isa_name(Isa::kAvx2), "avx2");
  EXPECT_STREQ(isa_name(Isa::kAvx512), "avx512");
}

}  // namespace
}  // namespace mithril
