#include "csrc/dedup/bloom.h"

#include <cmath>

#include "tests/cpp/dedup/index_texts.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/scoped.h"

namespace mithril::dedup {
namespace {

BloomParameters parameters_of(uint64_t expected, double rate) {
  BloomParameters p;
  p.expected_documents = expected, p.false_positive_rate = rate;
  return p;
}

// Share of fresh keys that a filter of this shape takes for known once `count` others are in.
double measured_rate(const BloomShape& shape, uint64_t count, uint64_t asked) {
  std::vector<uint64_t> words(shape.blocks * kBloomBlockWords);
  Random random(1);
  auto block_of = [&](const BloomKey& key) { return &words[key.block * kBloomBlockWords]; };
  for (uint64_t i = 0; i < count; i++) {
    BloomKey key(shape, random.next());
    key.add_to(block_of(key));
    EXPECT_TRUE(key.in(block_of(key)));
  }
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < asked; i++) {
    BloomKey key(shape, random.next());
    wrong += key.in(block_of(key));
  }
  return static_cast<double>(wrong) / static_cast<double>(asked);
}

TEST(BloomFilter, TheRateIsThatOfTheFormula) {
  for (double rate : {0.1, 1e-2, 1e-3, 1e-4}) {
    BloomShape shape = bloom_shape_for(50000, rate);
    EXPECT_LE(bloom_rate(shape, 50000), rate);
    EXPECT_GE(bloom_rate(shape, 52000), rate) << "no larger than it need be";
    auto asked = static_cast<uint64_t>(400 / rate);  // 400 wrong ones: ± 5 %, one standard deviation
    EXPECT_NEAR(measured_rate(shape, 50000, asked) / bloom_rate(shape, 50000), 1, 0.25) << rate;
  }
  BloomShape shape = bloom_shape_for(50000, 1e-3);  // filled twice
  EXPECT_NEAR(measured_rate(shape, 100000, 100000) / bloom_rate(shape, 100000), 1, 0.1);
}

TEST(BloomFilter, TheSizeIsNearTheBoundOfBloomFilters) {
  for (auto [rate, overhead] : {std::pair{1e-2, 1.05}, {1e-3, 1.10}, {6.25e-7, 1.40}}) {
    BloomShape shape = bloom_shape_for(10000000, rate);
    double bits = static_cast<double>(shape.blocks) * 512 / 1e7, bound = -std::log(rate) / (std::log(2) * std::log(2));
    EXPECT_LE(bits, overhead * bound) << rate;
  }
  EXPECT_EQ(bloom_rate(bloom_shape_for(100, 0.01), 0), 0);
  EXPECT_EQ(bloom_rate(bloom_shape_for(100, 0.01), uint64_t{1} << 40), 1);
}

TEST(BloomIndex, FindsCopiesAndKeepsTheRate) {
  ListedTexts texts = made_texts(3000, 1);
  BloomIndex index(parameters_of(3000, 0.05), 2);
  std::vector<uint8_t> removed = index.deduplicate(texts);
  EXPECT_EQ(index.query(texts), std::vector<uint8_t>(3000, 1));
  auto kept = static_cast<uint64_t>(std::count(removed.begin(), removed.end(), 0));
  EXPECT_EQ(index.documents(), kept);
  EXPECT_LT(kept, 2300u) << "every third text is a copy with few changes";
  EXPECT_LT(index.false_positive_rate(), 0.05);
  ListedTexts others = made_texts(6000, 99, 61);
  size_t wrong = 0, asked = 0;
  std::vector<uint8_t> found = index.query(others);
  for (size_t i = 0; i < found.size(); i += i % 3 ? 2 : 1)
    if (i % 10 != 9) wrong += found[i], asked++;  // those that are like no other text
  double rate = static_cast<double>(wrong) / static_cast<double>(asked);
  EXPECT_NEAR(rate / index.false_positive_rate(), 1, 0.5);
}

TEST(BloomIndex, BatchesAndThreadsChangeNothing) {
  ListedTexts texts = made_texts(1000, 2);
  BloomIndex whole(parameters_of(1000, 1e-5), 1), pieces(parameters_of(1000, 1e-5), 3);
  std::vector<uint8_t> expected = whole.deduplicate(texts), answers;
  for (size_t from : {0, 500, 501})
    for (uint8_t a : pieces.deduplicate(texts.part(from, from == 0 ? 500 : from == 500 ? 501 : 1000)))
      answers.push_back(a);
  EXPECT_EQ(answers, expected);
  EXPECT_EQ(whole.deduplicate(ListedTexts({"", "?!", texts.list()[0]})),
            (std::vector<uint8_t>{BloomIndex::kEmptyText, BloomIndex::kEmptyText, 1}));
}

TEST(BloomIndex, MergedOnesKnowWhatBothKnew) {
  ListedTexts texts = made_texts(400, 3);
  BloomIndex a(parameters_of(1000, 1e-5), 1), b(parameters_of(1000, 1e-5), 1);
  a.deduplicate(texts.part(0, 200)), b.deduplicate(texts.part(200, 400));
  uint64_t both = a.documents() + b.documents();
  a.merge(b), a.merge(a);
  EXPECT_EQ(a.documents(), both);
  EXPECT_EQ(a.query(texts), std::vector<uint8_t>(400, 1));
  BloomParameters other = parameters_of(1000, 1e-5);
  other.shape.seed = 2;
  EXPECT_ERROR(kInvalidArgument, "other options", a.merge(BloomIndex(other, 1)));
  EXPECT_ERROR(kInvalidArgument, "other options", a.merge(BloomIndex(parameters_of(1001, 1e-5), 1)));
}

TEST(BloomIndex, Options) {
  EXPECT_ERROR(kInvalidArgument, "expected_documents 0", BloomIndex(parameters_of(0, 1e-5), 1));
  EXPECT_ERROR(kInvalidArgument, "false_positive_rate", BloomIndex(parameters_of(10, 0), 1));
  EXPECT_ERROR(kInvalidArgument, "false_positive_rate", BloomIndex(parameters_of(10, 0.6), 1));
  EXPECT_ERROR(kInvalidArgument, "false_positive_rate", BloomIndex(parameters_of(10, std::nan("")), 1));
}

TEST(BloomIndex, Files) {
  ScopedFolder folder;
  ListedTexts texts = made_texts(100, 4);
  BloomIndex index(parameters_of(100, 1e-3), 1);
  index.deduplicate(texts);
  index.save(folder / "bloom");
  std::unique_ptr<BloomIndex> loaded = BloomIndex::load(folder / "bloom", 1);
  EXPECT_EQ(loaded->documents(), index.documents());
  EXPECT_EQ(loaded->query(texts), index.query(texts));
  loaded->merge(index);  // its options are the same
  const auto good = read_file<Bytes>(folder / "bloom");
  auto load = [&](const Bytes& bytes) {
    write_file(folder / "damaged", bytes);
    BloomIndex::load(folder / "damaged", 1);
  };
  for (size_t size : {0, 1, 127})
    EXPECT_ERROR(kTruncated, "header needs 128 bytes", load({good.begin(), good.begin() + static_cast<long>(size)}));
  for (size_t size : {size_t{128}, good.size() - 1, good.size() - 64})
    EXPECT_ERROR(kCorrupt, "blocks", load({good.begin(), good.begin() + static_cast<long>(size)}));
  for (size_t at = 0; at < good.size(); at += at < 128 ? 1 : 61) {
    Bytes flipped = good;
    flipped[at] ^= 0x10;
    EXPECT_ERROR(kCorrupt, "damaged", load(flipped)) << at;
  }
}

}  // namespace
}  // namespace mithril::dedup
