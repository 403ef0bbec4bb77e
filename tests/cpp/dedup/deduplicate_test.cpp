// The whole job against the plain rule, and that neither threads nor batches show.
#include "csrc/dedup/deduplicate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "csrc/base/error.h"
#include "csrc/dedup/band_table.h"
#include "csrc/dedup/similarity.h"
#include "csrc/dedup/sketcher.h"

namespace mithril::dedup {

class VectorTexts : public Texts {
 public:
  explicit VectorTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  uint64_t count() const override { return texts_.size(); }
  std::string_view text(uint64_t i, std::string&) const override { return texts_[i]; }
  const std::string& operator[](size_t i) const { return texts_[i]; }

 private:
  std::vector<std::string> texts_;
};

// Texts of some dozens of words, many of them edited copies of others.
static VectorTexts corpus(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<int>> all;
  std::vector<std::string> texts;
  for (size_t i = 0; i < count; i++) {
    std::vector<int> words;
    if (i && random() % 2) {
      words = all[random() % all.size()];
      for (auto edits = random() % 4; edits; edits--)
        if (!words.empty()) words[random() % words.size()] = static_cast<int>(random() % 1000);
    } else {
      for (auto n = random() % 80; n; n--) words.push_back(static_cast<int>(random() % 1000));
    }
    std::string text;
    for (int w : words) text += "w" + std::to_string(w) + (random() % 9 ? " " : ", ");
    all.push_back(words), texts.push_back(text);
  }
  return VectorTexts(texts);
}

// Every band key shared, every candidate compared: the rule, without batches, digests and tables. A key holds
// kMaxPerKey documents.
static std::vector<uint32_t> plain_star(const VectorTexts& texts, const DedupOptions& options,
                                        const std::vector<uint32_t>& order) {
  const Sketcher sketcher(options.rules, options.shape);
  const auto scratch = sketcher.scratch();
  const auto bands = static_cast<size_t>(options.shape.bands);
  std::vector<uint32_t> by(texts.count(), kNone), kept;
  std::vector<std::vector<uint32_t>> keys(texts.count(), std::vector<uint32_t>(bands));
  std::vector<uint8_t> digests(sketcher.digest_bytes());
  std::map<std::pair<size_t, uint32_t>, std::vector<size_t>> held;  // places in `kept`
  for (uint32_t i : order) {
    const bool empty = !sketcher.sketch(texts[i], *scratch, keys[i].data(), digests.data());
    if (empty) continue;
    Comparer comparer(options.rules);
    comparer.set(texts[i]);
    std::set<size_t> candidates;
    for (size_t b = 0; b < bands; b++)
      for (size_t k : held[{b, keys[i][b]}]) candidates.insert(k);
    for (size_t k : candidates) {
      if (comparer.compare(texts[kept[k]]).jaccard() < options.threshold) continue;
      by[i] = kept[k];
      break;
    }
    if (by[i] != kNone) continue;
    for (size_t b = 0; b < bands; b++)
      if (auto& under = held[{b, keys[i][b]}]; under.size() < kMaxPerKey) under.push_back(kept.size());
    kept.push_back(i);
  }
  return by;
}

TEST(Deduplicate, StarIsThePlainRule) {
  const VectorTexts texts = corpus(5000, 3);
  DedupOptions options;
  std::vector<uint32_t> order(texts.count());
  std::iota(order.begin(), order.end(), 0);
  for (int shuffled : {0, 1}) {
    if (shuffled) std::shuffle(order.begin(), order.end(), std::mt19937(1));
    const std::vector<uint32_t> expected = plain_star(texts, options, order);
    for (int threads : {1, 2, 4}) {
      options.threads = threads;
      const DedupResult found = deduplicate(texts, options, order, nullptr);
      EXPECT_EQ(found.removed_by, expected) << threads;
      for (size_t i = 0; i < texts.count(); i++) {
        if (found.removed_by[i] == kNone) continue;
        Comparer comparer(options.rules);
        comparer.set(texts[i]);
        ASSERT_EQ(found.similarity[i], static_cast<float>(comparer.compare(texts[found.removed_by[i]]).jaccard()));
      }
    }
  }
}

TEST(Deduplicate, ComponentsJoinChains) {
  std::vector<std::string> texts;
  std::string text;
  for (int i = 0; i < 100; i++) text += "word" + std::to_string(i) + " ";
  for (int i = 0; i < 12; i++) {  // each a near twin of the one before; the ends are not
    texts.push_back(text);
    text.replace(text.find("word" + std::to_string(8 * i)), 4, "edit");
  }
  DedupOptions options;
  options.clusters = Clusters::kComponents;
  const DedupResult joined = deduplicate(VectorTexts(texts), options, {}, nullptr);
  EXPECT_EQ(joined.removed_by[0], kNone);
  for (size_t i = 1; i < texts.size(); i++) EXPECT_EQ(joined.removed_by[i], 0u);
  EXPECT_LT(joined.similarity.back(), 0.85);
  options.clusters = Clusters::kStar;
  const DedupResult star = deduplicate(VectorTexts(texts), options, {}, nullptr);
  for (size_t i = 1; i < texts.size(); i++)
    if (star.removed_by[i] != kNone) {
      EXPECT_GE(star.similarity[i], 0.85f);
    }
  EXPECT_GT(std::count(star.removed_by.begin(), star.removed_by.end(), kNone), 1);
}

TEST(Deduplicate, ComponentsDoNotDependOnThreads) {
  const VectorTexts texts = corpus(4000, 5);
  DedupOptions options;
  options.clusters = Clusters::kComponents, options.threads = 1;
  const DedupResult one = deduplicate(texts, options, {}, nullptr);
  options.threads = 4;
  const DedupResult four = deduplicate(texts, options, {}, nullptr);
  EXPECT_EQ(one.removed_by, four.removed_by);
  EXPECT_EQ(one.similarity, four.similarity);
}

TEST(Deduplicate, EmptyTextsEqualNothing) {
  const VectorTexts texts({"", "a b", "", "!?", "!?", "a b", "A, B."});
  DedupOptions options;
  const DedupResult kept = deduplicate(texts, options, {}, nullptr);
  EXPECT_EQ(kept.removed_by, (std::vector<uint32_t>{kNone, kNone, kNone, kNone, kNone, 1, 1}));
  EXPECT_EQ(kept.stats.empty, 4u);
  EXPECT_EQ(kept.stats.exact_duplicates, 1u);
  options.empty = Empty::kRemove;
  const DedupResult removed = deduplicate(texts, options, {}, nullptr);
  EXPECT_EQ(removed.removed_by, (std::vector<uint32_t>{0, kNone, 2, 3, 4, 1, 1}));
}

TEST(Deduplicate, ContainmentFindsExcerpts) {
  std::string whole, part;
  for (int i = 0; i < 300; i++) whole += "word" + std::to_string(i) + " ";
  for (int i = 100; i < 220; i++) part += "word" + std::to_string(i) + " ";
  DedupOptions options;
  options.measure = Measure::kContainment;
  options.shape = shape_for(0.85, 128, 1, Measure::kContainment);
  const DedupResult r = deduplicate(VectorTexts({whole, part}), options, {}, nullptr);
  EXPECT_EQ(r.removed_by[1], 0u);
  EXPECT_EQ(r.similarity[1], 1);
  const DedupResult other = deduplicate(VectorTexts({part, whole}), options, {}, nullptr);
  EXPECT_EQ(other.removed_by[1], kNone);  // the whole is not in the part
}

TEST(Deduplicate, AFullBucketIsCounted) {
  std::vector<std::string> texts;  // one shared half, another half each: their bands agree, their similarity is 1 / 3
  std::string shared;
  for (int i = 0; i < 200; i++) shared += "shared" + std::to_string(i) + " ";
  for (int i = 0; i < 600; i++) {
    std::string own;
    for (int k = 0; k < 60; k++) own += "own" + std::to_string(i * 100 + k) + " ";
    texts.push_back(shared + own);
  }
  DedupOptions options;
  options.shape.bands = 64, options.shape.rows = 2;
  for (int threads : {1, 4}) {
    options.threads = threads;
    const DedupResult r = deduplicate(VectorTexts(texts), options, {}, nullptr);
    EXPECT_EQ(std::count(r.removed_by.begin(), r.removed_by.end(), kNone), 600);
    EXPECT_GT(r.stats.full_buckets, 600u);
    EXPECT_LT(r.stats.candidate_pairs, 600u * 64 * kMaxPerKey);
  }
}

// Near twins whose bands are full of strangers, or not quite.
TEST(Deduplicate, FullBucketsAreThePlainRuleToo) {
  std::mt19937 random(11);
  std::string shared;
  for (int i = 0; i < 60; i++) shared += "shared" + std::to_string(i) + " ";
  std::vector<std::string> texts;
  for (int i = 0; i < 600; i++) {
    if (i > 100 && random() % 3 == 0) {
      texts.push_back(texts[random() % texts.size()] + " w" + std::to_string(random() % 3));
      continue;
    }
    std::string own;
    for (int k = 0; k < 12; k++) own += "own" + std::to_string(i * 100 + k) + " ";
    texts.push_back(shared + own);
  }
  DedupOptions options;
  options.shape.bands = 32, options.shape.rows = 4, options.threshold = 0.9;
  std::vector<uint32_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<uint32_t> expected = plain_star(VectorTexts(texts), options, order);
  for (int threads : {1, 3}) {
    options.threads = threads;
    const DedupResult r = deduplicate(VectorTexts(texts), options, {}, nullptr);
    EXPECT_GT(r.stats.full_buckets, 0u);
    EXPECT_EQ(r.removed_by, expected);
  }
}

TEST(Deduplicate, EqualAndNearlyEqualTextsCostLinearTime) {
  std::string text;
  for (int i = 0; i < 100; i++) text += "word" + std::to_string(i) + " ";
  std::vector<std::string> texts(20000, text);
  for (size_t i = 0; i < texts.size(); i += 2) texts[i] += std::to_string(i);
  const DedupResult r = deduplicate(VectorTexts(texts), DedupOptions{}, {}, nullptr);
  EXPECT_EQ(std::count(r.removed_by.begin(), r.removed_by.end(), kNone), 1);
  EXPECT_LE(r.stats.verified_pairs, 10001u);
}

TEST(Deduplicate, SaysWhichTextIsMalformed) {
  try {
    deduplicate(VectorTexts({"a", "b \xff"}), DedupOptions{}, {}, nullptr);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "document 1: text is not UTF-8 at byte 2");
  }
}

TEST(Deduplicate, RefusesWhatIsNoOrder) {
  const VectorTexts texts({"a", "b"});
  for (const auto& order : std::vector<std::vector<uint32_t>>{{0}, {0, 2}, {1, 1}})
    EXPECT_THROW(deduplicate(texts, DedupOptions{}, order, nullptr), Error);
}

TEST(BandTables, FindWhatWasInsertedInOrder) {
  constexpr uint32_t kBands = 3, kDocuments = 5000;
  BandTables tables(kBands, kDocuments);
  tables.populate(2);
  std::mt19937 random(9);
  std::vector<uint32_t> keys(700);
  for (auto& key : keys) key = static_cast<uint32_t>(random());
  std::vector<std::vector<uint32_t>> expected[kBands];
  for (auto& of_keys : expected) of_keys.resize(keys.size());
  for (uint32_t id = 0; id < kDocuments; id++)
    for (uint32_t band = 0; band < kBands; band++) {
      const size_t k = random() % 3 ? random() % keys.size() : 0;  // one key has many
      tables.insert(band, keys[k], id), expected[band][k].push_back(id);
    }
  for (uint32_t band = 0; band < kBands; band++) {
    for (size_t k = 0; k < keys.size(); k++) {
      std::vector<uint32_t> found;
      tables.find(band, keys[k], [&](uint32_t id) { found.push_back(id); });
      EXPECT_EQ(found, expected[band][k]);
    }
    tables.find(band, 12345, [](uint32_t) { FAIL(); });
  }
}

TEST(SketchShape, FindsPairsAtTheThreshold) {
  const SketchShape shape = shape_for(0.85, 128, 1, Measure::kJaccard);
  EXPECT_EQ(shape.bands, 16);
  EXPECT_EQ(shape.rows, 8);
  for (double threshold : {0.1, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0}) {
    const SketchShape s = shape_for(threshold, 128, 1, Measure::kJaccard);
    EXPECT_LE(s.bands * s.rows, 128);
    if (threshold >= 0.5) {
      EXPECT_GE(candidate_probability(s, threshold), 0.99) << threshold;
    }
  }
  for (SketchShape bad : {SketchShape{15, 1, 1}, SketchShape{18, 0, 1}, SketchShape{128, 16, 9},
                          SketchShape{2048, 1, 1}, SketchShape{17, 1, 1}})
    EXPECT_THROW(check(bad), Error);
}

// The estimate is unbiased, and its error is that of as many permutations as there are.
TEST(Sketcher, EstimatesSimilarity) {
  const Sketcher sketcher(TextRules{}, SketchShape{});
  const auto scratch = sketcher.scratch();
  for (int distance : {4, 40}) {
    double sum = 0, squares = 0, exact = 0;
    constexpr int kPairs = 400;
    for (int p = 0; p < kPairs; p++) {
      std::string a, b;
      for (int i = 0; i < 200; i++) {
        const std::string word = "w" + std::to_string(p * 1000 + i) + " ";
        a += word, b += i % 100 < distance / 2 ? "x" + word : word;
      }
      uint32_t keys[16];
      uint8_t digests[2][64];
      ASSERT_TRUE(sketcher.sketch(a, *scratch, keys, digests[0]));
      ASSERT_TRUE(sketcher.sketch(b, *scratch, keys, digests[1]));
      Comparer comparer(TextRules{});
      comparer.set(a);
      exact = comparer.compare(b).jaccard();
      const double error = sketcher.estimate(digests[0], digests[1]) - exact;
      sum += error, squares += error * error;
    }
    const double deviation = std::sqrt(exact * (1 - exact) / 128);
    EXPECT_LT(std::abs(sum / kPairs), 4 * deviation / std::sqrt(kPairs)) << exact;
    EXPECT_LT(std::sqrt(squares / kPairs), 1.2 * deviation) << exact;
  }
}

}  // namespace mithril::dedup
