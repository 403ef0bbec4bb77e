#include "csrc/dedup/index.h"

#include <numeric>
#include <thread>

#include "csrc/dedup/similarity.h"
#include "tests/cpp/dedup/index_texts.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/scoped.h"

namespace mithril::dedup {
namespace {

using ::mithril::Bytes;

DedupOptions options_of(int threads = 1, double threshold = 0.7) {
  DedupOptions options;
  options.threshold = threshold;
  options.shape = shape_for(threshold, 128, 1, Measure::kJaccard);
  options.threads = threads;
  return options;
}

std::vector<uint32_t> all_numbers(const Index& index) {
  std::vector<uint32_t> numbers(index.documents());
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

// What a run on all texts at once says: of each text the position of the one that explains it.
std::vector<uint32_t> at_once(const ListedTexts& texts, const DedupOptions& options) {
  return deduplicate(texts, options, {}, {}).removed_by;
}

// The same of a piece that is given to an index.
std::vector<uint32_t> removed_by(Index& index, const ListedTexts& piece) {
  std::vector<uint32_t> positions;
  for (uint32_t number : index.deduplicate(piece, {}, nullptr).removed_by)
    positions.push_back(number == kNone ? kNone : static_cast<uint32_t>(index.ids({number})[0]));
  return positions;
}

void append(std::vector<uint32_t>& all, const std::vector<uint32_t>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

TEST(Index, PiecesGiveWhatOneRunGives) {
  ListedTexts texts = made_texts(700, 1);
  std::vector<uint32_t> expected = at_once(texts, options_of());
  ASSERT_GT(std::count_if(expected.begin(), expected.end(), [](uint32_t by) { return by != kNone; }), 150);
  for (int threads : {1, 3})
    for (bool verify : {true, false})
      for (const std::vector<size_t>& ends :
           {std::vector<size_t>{700}, {1, 2, 3, 700}, {100, 200, 201, 201, 460, 700}}) {
        DedupOptions options = options_of(threads);
        options.verify = verify;
        Index index(options, true);
        std::vector<uint32_t> all;
        size_t from = 0;
        for (size_t end : ends) append(all, removed_by(index, texts.part(from, end))), from = end;
        EXPECT_EQ(all, verify ? expected : at_once(texts, options));
        EXPECT_EQ(index.seen(), 700u);
        EXPECT_EQ(index.left_out(), 0u);
        index.check();
      }
}

TEST(Index, SavedAndOpenedBetweenPieces) {
  ListedTexts texts = made_texts(400, 2);
  for (bool mapped : {false, true}) {
    ScopedFolder folder;
    auto index = std::make_unique<Index>(options_of(), true);
    std::vector<uint32_t> all;
    for (size_t from : {0, 100, 200, 300}) {
      append(all, removed_by(*index, texts.part(from, from + 100)));
      index->save(folder / "index");
      index = std::make_unique<Index>(options_of(), true);
      index->attach(folder / "index", mapped);
      index->check();
      EXPECT_EQ(index->seen(), from + 100);
    }
    EXPECT_EQ(all, at_once(texts, options_of()));
    EXPECT_EQ(folder.files(), 1u);
  }
}

TEST(Index, QueryFindsAllThatAreAlike) {
  ListedTexts texts = made_texts(300, 3), asked = made_texts(150, 3);  // the same beginning
  Index index(options_of(2), true);
  for (size_t from : {0, 50, 60, 200})
    index.add(texts.part(from, from == 0 ? 50 : from == 50 ? 60 : from == 60 ? 200 : 300), {});
  IndexMatches matches = index.query(asked, nullptr);
  Comparer comparer(options_of().rules);
  size_t expected = 0, found = 0;
  for (size_t i = 0; i < asked.count(); i++) {
    comparer.set(asked.list()[i]);
    std::vector<uint32_t> numbers(matches.numbers.begin() + static_cast<long>(matches.offsets[i]),
                                  matches.numbers.begin() + static_cast<long>(matches.offsets[i + 1]));
    EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
    for (size_t k = 0; k < texts.count(); k++) expected += comparer.compare(texts.list()[k]).jaccard() >= 0.7;
    for (size_t m = matches.offsets[i]; m < matches.offsets[i + 1]; m++, found++)
      EXPECT_FLOAT_EQ(matches.similarities[m],
                      static_cast<float>(comparer.compare(texts.list()[matches.numbers[m]]).jaccard()));
    EXPECT_TRUE(std::count(numbers.begin(), numbers.end(), i)) << "the text itself";
  }
  EXPECT_LE(found, expected);
  EXPECT_GE(static_cast<double>(found), 0.985 * static_cast<double>(expected));
}

TEST(Index, KnownTextsAreRemovedAndNothingIsAdded) {
  ListedTexts texts = made_texts(200, 4);
  Index index(options_of(), true);
  index.add(texts.part(0, 100), {});
  IndexRemovals removals = index.remove_known(texts, nullptr);
  EXPECT_EQ(index.documents(), 100u);
  for (size_t i = 0; i < 100; i++) EXPECT_NE(removals.removed_by[i], kNone);
  size_t among_others = 0;
  for (size_t i = 100; i < 200; i++) among_others += removals.removed_by[i] == kNone;
  EXPECT_GT(among_others, 50u) << "near duplicates among the texts themselves stay";
}

TEST(Index, EmptyTextsAreKeptOutAndEqualNothing) {
  Index index(options_of(), true);
  ListedTexts texts({"", " .,! ", "a word", "", "a word"});
  IndexRemovals removals = index.deduplicate(texts, {}, nullptr);
  EXPECT_EQ(removals.removed_by, (std::vector<uint32_t>{kNone, kNone, kNone, kNone, 0}));
  EXPECT_EQ(removals.empty, (std::vector<uint8_t>{1, 1, 0, 1, 0}));
  EXPECT_EQ(index.documents(), 1u);
  EXPECT_EQ(index.ids({0}), (std::vector<int64_t>{2}));
  EXPECT_TRUE(index.query(ListedTexts({"", "..."}), nullptr).numbers.empty());
}

TEST(Index, AFullBucketKeepsTheFirstAndCountsTheRest) {
  std::vector<std::string> same(300, "one and the same text of several words");
  auto bands = static_cast<uint64_t>(options_of().shape.bands);
  for (size_t step : {300, 60, 7}) {
    ScopedFolder folder;
    Index index(options_of(), true);
    for (size_t from = 0; from < 300; from += step)
      index.add(ListedTexts({same.begin() + static_cast<long>(from),
                             same.begin() + static_cast<long>(std::min<size_t>(300, from + step))}),
                {});
    IndexMatches matches = index.query(ListedTexts({same[0]}), nullptr);
    EXPECT_EQ(matches.numbers.size(), kMaxPerKey);
    EXPECT_EQ(matches.numbers.back(), kMaxPerKey - 1);
    index.save(folder / "index");
    Index opened(options_of(), true);
    opened.attach(folder / "index", true);
    EXPECT_EQ(opened.left_out(), (300 - kMaxPerKey) * bands);
    EXPECT_EQ(opened.query(ListedTexts({same[0]}), nullptr).numbers, matches.numbers);
    opened.check();
  }
}

TEST(Index, MergedIndexesHoldWhatBothHeld) {
  ListedTexts texts = made_texts(300, 5);
  Index whole(options_of(), true), a(options_of(), true), b(options_of(), true);
  whole.add(texts, {});
  a.add(texts.part(0, 120), {}), b.add(texts.part(120, 200), {}), b.add(texts.part(200, 300), {});
  a.merge(b);
  EXPECT_EQ(a.ids(all_numbers(a)), whole.ids(all_numbers(whole)));
  IndexMatches expected = whole.query(texts, nullptr), matches = a.query(texts, nullptr);
  EXPECT_EQ(matches.offsets, expected.offsets);
  EXPECT_EQ(matches.numbers, expected.numbers);
  ScopedFolder folder;
  whole.save(folder / "whole"), a.save(folder / "a");
  EXPECT_TRUE(read_file(folder / "whole") == read_file(folder / "a")) << "bytes depend on what is held alone";
  a.merge(a);
  EXPECT_EQ(a.documents(), 600u);
  EXPECT_EQ(a.ids({300, 599}), (std::vector<int64_t>{300, 599}));
}

TEST(Index, IdsOfTheCaller) {
  ListedTexts texts({"the first text is this one", "a second one has other words", "and there is a third"});
  Index numbered(options_of(), true), named(options_of(), true);
  numbered.add(texts, {IdKind::kNumbers, {7, -3, int64_t{1} << 62}, {}});
  named.add(texts, {IdKind::kTexts, {}, {"a", "", "ümlaut"}});
  named.add(texts, {IdKind::kTexts, {}, {"x", "y", "z"}});
  EXPECT_EQ(numbered.ids({1, 2, 0}), (std::vector<int64_t>{-3, int64_t{1} << 62, 7}));
  EXPECT_EQ(named.text_ids({5, 2, 1}), (std::vector<std::string>{"z", "ümlaut", ""}));
  ScopedFolder folder;
  named.save(folder / "index");
  Index opened(options_of(), true);
  opened.attach(folder / "index", true);
  EXPECT_EQ(opened.text_ids(all_numbers(opened)), named.text_ids(all_numbers(named)));
  EXPECT_ERROR(kInvalidArgument, "number 6 is not below 6", named.text_ids({6}));
  EXPECT_ERROR(kInvalidArgument, "2 ids for 3 texts", numbered.add(texts, {IdKind::kNumbers, {1, 2}, {}}));
  EXPECT_ERROR(kInvalidArgument, "ids are texts, those of the index are numbers",
               numbered.add(texts, {IdKind::kTexts, {}, {"a", "b", "c"}}));
  EXPECT_ERROR(kInvalidArgument, "its ids are texts", numbered.merge(named));
  EXPECT_EQ(numbered.documents(), 3u);
}

TEST(Index, IdsOfRowsOfFiles) {
  ListedTexts texts({"the first text is this one", "", "and there is a third"});
  Index index(options_of(), true);
  DocumentIds ids;
  ids.kind = IdKind::kTexts;
  ids.places = {{"a", "b"}, {1, 0, 1}, {7, 1, uint64_t{1} << 40}};
  index.deduplicate(texts, ids, nullptr);
  EXPECT_EQ(index.text_ids({0, 1}), (std::vector<std::string>{"b:7", "b:1099511627776"}));
  ids.places.files.pop_back();
  EXPECT_ERROR(kInvalidArgument, "2 ids for 3 texts", index.add(texts, ids));
}

TEST(Index, IsAgainWhatItWas) {
  ListedTexts texts = made_texts(200, 8);
  Index index(options_of(), true);
  index.add(texts.part(0, 50), {});
  const Index::State before = index.now();
  const IndexMatches expected = index.query(texts, nullptr);
  index.add(texts.part(50, 200), {});  // merges the segments
  index.restore(before);
  EXPECT_EQ(index.seen(), 50u);
  EXPECT_EQ(index.query(texts, nullptr).numbers, expected.numbers);
  index.add(texts.part(50, 200), {});
  EXPECT_EQ(index.documents(), 200u);
  index.check();
}

TEST(Index, ProgressMayStopIt) {
  ListedTexts texts = made_texts(600, 9);
  Index index(options_of(), true);
  for (const char* stage : {"sketch", "look up", "match"}) {
    const Progress stop = [&](const std::string& told, uint64_t done, uint64_t total) {
      EXPECT_TRUE(done <= total && total <= 600) << told;
      if (told == stage) throw_invalid(told);
    };
    EXPECT_ERROR(kInvalidArgument, stage, index.deduplicate(texts, {}, nullptr, stop));
    EXPECT_EQ(index.seen(), 0u);
  }
}

TEST(Index, WithoutTextsTheyMustBeGiven) {
  ListedTexts texts = made_texts(200, 6), first = texts.part(0, 100), second = texts.part(100, 200);
  Index with(options_of(), true), without(options_of(), false);
  with.add(first, {}), without.add(first, {});
  EXPECT_EQ(without.remove_known(second, &first).removed_by, with.remove_known(second, nullptr).removed_by);
  EXPECT_EQ(without.query(second, &first).numbers, with.query(second, nullptr).numbers);
  EXPECT_ERROR(kInvalidArgument, "known: the index does not store texts", without.query(second, nullptr));
  EXPECT_ERROR(kInvalidArgument, "known: 200 texts, the index has 100", without.query(second, &texts));
  ScopedFolder folder;
  without.save(folder / "index");
  Index opened(options_of(), false);
  opened.attach(folder / "index", true);
  EXPECT_EQ(opened.query(second, &first).numbers, with.query(second, nullptr).numbers);
}

TEST(Index, OtherOptionsAreRefused) {
  ScopedFolder folder;
  Index index(options_of(), true);
  index.add(made_texts(10, 7), {});
  index.save(folder / "index");
  auto attach = [&](DedupOptions options, bool stores_texts = true) {
    Index(options, stores_texts).attach(folder / "index", true);
  };
  DedupOptions other = options_of();
  other.shape.seed = 2;
  EXPECT_ERROR(kInvalidArgument, "index: seed is 1, here it is 2", attach(other));
  other = options_of(1, 0.9);
  EXPECT_ERROR(kInvalidArgument, "num_bands is", attach(other));
  other = options_of();
  other.rules.fold_case = false;
  EXPECT_ERROR(kInvalidArgument, "fold_case is 1, here it is 0", attach(other));
  EXPECT_ERROR(kInvalidArgument, "store_texts is 1, here it is 0", attach(options_of(), false));
  other = options_of();
  other.threshold = 0.8, other.verify = false;  // decide about what is found, not about what is held
  attach(other);
  other.clusters = Clusters::kComponents;
  EXPECT_ERROR(kInvalidArgument, "clusters", attach(other));
}

TEST(Index, NothingIsAddedWhenATextIsNotUtf8) {
  Index index(options_of(), true);
  index.add(made_texts(10, 8), {});
  ListedTexts bad({"fine and dandy", "not so\xff fine"});
  EXPECT_ERROR(kCorrupt, "text 1: ", index.add(bad, {}));
  EXPECT_ERROR(kCorrupt, "text 1: ", index.deduplicate(bad, {}, nullptr));
  EXPECT_EQ(index.documents(), 10u);
  EXPECT_EQ(index.seen(), 10u);
}

TEST(Index, ReadersAndWritersAtOnce) {
  ListedTexts texts = made_texts(600, 9);
  Index index(options_of(), true);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 3; t++)
    threads.emplace_back([&, t] {
      for (size_t from = t * 200; from < (t + 1) * 200; from += 20) index.add(texts.part(from, from + 20), {});
    });
  threads.emplace_back([&] {
    for (int i = 0; i < 20; i++) index.query(texts.part(0, 20), nullptr);
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(index.documents(), 600u);
  EXPECT_EQ(index.query(texts, nullptr).offsets.size(), 601u);
  index.check();
}

TEST(Index, AFileThatCannotBeWrittenLeavesTheOldOne) {
  ScopedFolder folder;
  Index index(options_of(), true);
  index.add(made_texts(50, 12), {});
  index.save(folder / "index");
  const auto before = read_file(folder / "index");
  index.add(made_texts(500, 13), {});
  {
    ScopedFileLimit limit(before.size());
    EXPECT_ERROR(kIo, "cannot write", index.save(folder / "index"));
  }
  EXPECT_TRUE(read_file(folder / "index") == before);
  EXPECT_EQ(folder.files(), 1u);
}

// ---- damaged files ----

void use(Index& index, const std::string& path, const ListedTexts& texts) {
  index.query(texts, nullptr);
  index.deduplicate(texts, {IdKind::kTexts, {}, std::vector<std::string>(texts.count(), "new")}, nullptr);
  index.save(path);
}

// Fails with an Error or works; nothing else, and what is read in full is as it was written.
TEST(Index, DamagedFiles) {
  ScopedFolder folder;
  ListedTexts texts = made_texts(12, 10, 20);
  DedupOptions options = options_of();
  options.shape = {16, 3, 4, 1};
  Index index(options, true);
  index.add(texts, {IdKind::kTexts, {}, std::vector<std::string>(12, "id")});
  index.save(folder / "index");
  const auto good = read_file<Bytes>(folder / "index");
  auto fails_to_attach = [&](const Bytes& bytes, bool mapped) {
    write_file(folder / "damaged", bytes);
    Index damaged(options, true);
    try {
      damaged.attach(folder / "damaged", mapped);
      if (mapped) use(damaged, folder / "again", texts);
      return false;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("damaged"), std::string::npos) << e.what();
      return true;
    }
  };
  EXPECT_FALSE(fails_to_attach(good, false));
  for (size_t size = 0; size < good.size(); size += size < 64 ? 1 : 37) {
    Bytes cut(good.begin(), good.begin() + static_cast<long>(size));
    EXPECT_TRUE(fails_to_attach(cut, true)) << size;
    EXPECT_TRUE(fails_to_attach(cut, false)) << size;
  }
  Random random(11);
  for (size_t at = 0; at < good.size(); at += 1 + random.below(5)) {
    Bytes flipped = good;
    flipped[at] ^= static_cast<uint8_t>(1 << random.below(8));
    EXPECT_TRUE(fails_to_attach(flipped, false)) << at;
    fails_to_attach(flipped, true);
  }
}

}  // namespace
}  // namespace mithril::dedup
