#include "csrc/dedup/words.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "csrc/base/error.h"
#include "csrc/dedup/similarity.h"

namespace mithril::dedup {

static std::vector<uint64_t> words(const std::string& text, TextRules rules = {}) {
  const Words reader(rules);
  Words::Scratch scratch;
  Row<uint64_t> hashes;
  for (uint64_t position = 0; position < text.size();) reader.read(text, position, scratch, hashes);
  return {hashes.data(), hashes.data() + hashes.size()};
}

TEST(DedupWords, AsciiIsFoldedAndCutAtPunctuation) {
  EXPECT_EQ(words("The quick-brown FOX, 42 foo_bar"), words("the quick brown fox 42 foo_bar"));
  EXPECT_EQ(words("a b").size(), 2u);
  EXPECT_TRUE(words(" ,.!?\n").empty());
  EXPECT_TRUE(words("").empty());
  TextRules exact;
  exact.fold_case = false;
  EXPECT_NE(words("Fox", exact), words("fox", exact));
}

TEST(DedupWords, FormsOfTheSameTextAreTheSame) {
  EXPECT_EQ(words("caf\u00e9 na\u00efve"), words("cafe\u0301 nai\u0308ve"));    // composed or not
  EXPECT_EQ(words("\u00c9COLE STRASSE"), words("\u00e9cole stra\u00dfe"));      // full case folding
  EXPECT_EQ(words("\u0130stanbul"), words("i\u0307stanbul"));                   // to a longer form
  EXPECT_EQ(words("hy\u00adphen zero\u200bwidth"), words("hyphen zerowidth"));  // ignorable ones go
  EXPECT_EQ(words("\u1100\u1161\u11a8 x"), words("\uac01 x"));                  // Hangul
  EXPECT_NE(words("\uff46ine \u2460"), words("fine 1"));                        // a wide letter is another one,
  EXPECT_EQ(words("\uff46ine \u2460", {NormalForm::kNfkc}), words("fine 1", {NormalForm::kNfkc}));  // but in NFKC
  EXPECT_NE(words("cafe\u0301", {NormalForm::kNone}), words("caf\u00e9", {NormalForm::kNone}));
}

TEST(DedupWords, UnspacedScriptsAndEmojiAreUnits) {
  EXPECT_EQ(words("\u65e5\u672c\u8a9e").size(), 3u);  // Han
  EXPECT_EQ(words("\u65e5\u672cabc\u8a9e").size(), 4u);
  EXPECT_EQ(words("\u304b\u3099"), words("\u304c"));  // Kana with a mark composes across units
  EXPECT_EQ(words("\u0e01\u0e34\u0e19").size(), 3u);  // Thai, a vowel sign among it
  EXPECT_EQ(words("\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u044f\u0437\u044b\u043a").size(), 2u);
  EXPECT_EQ(words("\u0920\u0940\u0915 \u0939\u0948").size(), 2u);  // Devanagari: marks belong to the word
  EXPECT_EQ(words("ok \U0001f44d\U0001f3fd\ufe0f!").size(), 3u);   // thumb and skin tone
  EXPECT_TRUE(words("\u201c\u2014\u201d \u00a9 \u2192").empty());  // quotes, dash, signs
}

TEST(DedupWords, PunctuationCountsWhenAsked) {
  TextRules rules;
  rules.ignore_punctuation = false;
  EXPECT_EQ(words("f(x) = 1;", rules).size(), 7u);
  EXPECT_EQ(words("\u201cx\u201d", rules).size(), 3u);
}

TEST(DedupWords, LongTextsAreReadInPieces) {
  std::string text, unit;
  for (int i = 0; i < 20000; i++) text += "word" + std::to_string(i) + (i % 3 ? " " : " \u00e9t\u00e9e\u0301 ");
  EXPECT_EQ(words(text).size(), 20000u + 20000 / 3 + 1);
  for (int i = 0; i < 30000; i++) unit += "\u65e5";  // nowhere to cut
  EXPECT_EQ(words(unit).size(), 30000u);
  const std::string word(100000, 'x');
  EXPECT_EQ(words(word + " " + word).size(), 2u);
}

TEST(DedupWords, LongTextsWithoutSpacesAreCutAtTheirStops) {
  std::string text;
  for (int i = 0; i < 20000; i++) text += i % 20 ? "\u65e5" : "\u304b\u3099\u3002";
  EXPECT_EQ(words(text).size(), 20000u);
}

TEST(DedupWords, ManyMarksCostNoQuadraticTime) {
  std::string text = "a", other = "a";
  for (int i = 0; i < 150000; i++) text += "\u0301\u0323";  // above and below: canonical order has those below first
  for (int i = 0; i < 150000; i++) other += "\u0323";
  for (int i = 0; i < 150000; i++) other += "\u0301";
  EXPECT_EQ(words(text), words(other));
  EXPECT_EQ(words(text).size(), 1u);
}

TEST(DedupWords, MalformedUtf8IsRefusedWithItsPlace) {
  const std::string malformed[] = {"\x80",         "\xc3",     "\xc0\xaf",         "\xe2\x82",         "\xe0\x80\xaf",
                                   "\xed\xa0\x80", "\xf5\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\xaf", "\xff",
                                   "\xc3(",        "\xe2\x82("};
  for (const std::string& bad : malformed)
    for (size_t before : {0, 3, 62, 63, 64, 20000}) {
      std::string text;
      while (text.size() < before) text += before - text.size() > 1 ? "a " : "a";
      try {
        words(text + bad);
        FAIL() << "accepted after " << before;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
        EXPECT_NE(std::string(error.what()).find("byte " + std::to_string(before)), std::string::npos) << error.what();
      }
    }
}

// --- similarity
// --------------------------------------------------------------------------------------------------------

static Overlap overlap(const std::string& a, const std::string& b, int n = 5) {
  TextRules rules;
  rules.ngram_size = n;
  Comparer comparer(rules);
  comparer.set(a);
  return comparer.compare(b);
}

TEST(DedupSimilarity, CountsSetsOfShingles) {
  const Overlap o = overlap("a b c d e f", "a b c d e g");
  EXPECT_EQ(o.a, 2u);
  EXPECT_EQ(o.b, 2u);
  EXPECT_EQ(o.both, 1u);
  EXPECT_DOUBLE_EQ(o.jaccard(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(overlap("x y x y x y x y x y", "x y x y x y").jaccard(), 1);  // a set: repeated ones count once
  EXPECT_DOUBLE_EQ(overlap("a b c", "A, b; c!").jaccard(), 1);                   // fewer than n words are one shingle
  EXPECT_DOUBLE_EQ(overlap("a b c", "a b c d").jaccard(), 0);
  EXPECT_DOUBLE_EQ(overlap("a b", "b a", 1).jaccard(), 1);
  EXPECT_DOUBLE_EQ(overlap("", "").jaccard(), 0);
  EXPECT_DOUBLE_EQ(overlap("!", "!").jaccard(), 0);
  EXPECT_DOUBLE_EQ(overlap("a b c d e", "z a b c d e f").containment_of_a(), 1);
}

TEST(DedupSimilarity, StoppingEarlyDecidesTheSame) {
  uint64_t random = 1;
  for (int round = 0; round < 300; round++) {
    std::string a, b;
    for (int i = 0; i < 60 + round; i++) {
      const std::string word = "w" + std::to_string(i) + " ";
      random = random * 6364136223846793005u + 1442695040888963407u;
      a += word, b += (random >> 40) % 100 < static_cast<uint64_t>(round % 8) ? "other " : word;
    }
    Comparer comparer(TextRules{});
    comparer.set(a);
    const Overlap o = comparer.compare(b);
    for (double threshold : {0.5, 0.8, 0.85, 0.9, o.jaccard()}) {
      if (threshold == 0) continue;
      double similarity;
      ASSERT_EQ(comparer.reaches(b, Measure::kJaccard, threshold, &similarity), o.jaccard() >= threshold) << round;
      if (o.jaccard() >= threshold) {
        ASSERT_EQ(similarity, o.jaccard());
      }
      ASSERT_EQ(comparer.reaches(b, Measure::kContainment, threshold, &similarity), o.containment_of_a() >= threshold);
    }
  }
}

// Compatibility forms may be more words than the text has bytes: that ends nothing too early.
TEST(DedupSimilarity, StoppingEarlyCountsOnCompatibilityForms) {
  std::string a;
  for (int i = 0; i < 3000; i++) a += "word" + std::to_string(i) + " ";
  for (int i = 0; i < 200; i++) a += "\u3316";
  const std::string b = "other " + a;
  TextRules rules;
  rules.form = NormalForm::kNfkc, rules.ngram_size = 20;
  Comparer comparer(rules);
  comparer.set(a);
  double similarity;
  EXPECT_TRUE(comparer.reaches(b, Measure::kJaccard, 0.99, &similarity));
  EXPECT_EQ(similarity, comparer.compare(b).jaccard());
}

}  // namespace mithril::dedup
