// Every instruction set gives the bits of the scalar kernels, at all lengths around their blocks.
#include "csrc/dedup/kernels.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace mithril::dedup {

static std::vector<Isa> sets() {
  std::vector<Isa> found;
  for (Isa i : {Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512})
    if (isa_supported(i)) found.push_back(i);
  return found;
}

class DedupKernels : public ::testing::TestWithParam<Isa> {
 protected:
  const Kernels& kernel_ = kernels(GetParam());
  const Kernels& scalar_ = kernels(Isa::kScalar);
  std::mt19937 random_{7};

  std::vector<uint8_t> text(size_t size) {
    static constexpr char kMany[] = "abcdefghijklmnopqrstuvwxyzABCXYZ09_@[`{/: ,.\n\x80\xc3\xff";
    std::vector<uint8_t> t(size);
    for (auto& c : t) c = static_cast<uint8_t>(kMany[random_() % (sizeof kMany - 1)]);
    return t;
  }
  std::vector<uint32_t> numbers(size_t count) {
    std::vector<uint32_t> n(count);
    for (auto& x : n) x = static_cast<uint32_t>(random_());
    return n;
  }
};

struct Classified {
  std::vector<uint8_t> lower;
  std::vector<uint64_t> word, high;
  bool any;
};

static Classified classify(const Kernels& kernel, const std::vector<uint8_t>& text, bool fold) {
  const size_t blocks = text.size() / 64 + 1;
  Classified c{std::vector<uint8_t>(text.size() + kSlack), std::vector<uint64_t>(blocks), std::vector<uint64_t>(blocks),
               false};
  c.any = kernel.classify(text.data(), text.size(), fold, c.lower.data(), c.word.data(), c.high.data());
  return c;
}

TEST_P(DedupKernels, ClassifiesEachByte) {
  std::vector<uint8_t> all(256);
  std::iota(all.begin(), all.end(), uint8_t{0});
  for (bool fold : {false, true}) {
    const Classified c = classify(kernel_, all, fold);
    for (size_t i = 0; i < 256; i++) {
      const bool capital = i >= 'A' && i <= 'Z';
      const bool word = capital || (i >= 'a' && i <= 'z') || (i >= '0' && i <= '9') || i == '_';
      EXPECT_EQ(c.word[i / 64] >> i % 64 & 1, word) << i;
      EXPECT_EQ(c.high[i / 64] >> i % 64 & 1, i >= 128) << i;
      EXPECT_EQ(c.lower[i], capital && fold ? i + 32 : i) << i;
    }
  }
}

TEST_P(DedupKernels, ClassifiesAndHashesAsTheScalarOnes) {
  for (size_t size = 0; size < 200; size++) {
    const std::vector<uint8_t> t = text(size);
    const Classified a = classify(kernel_, t, true), b = classify(scalar_, t, true);
    ASSERT_EQ(a.word, b.word) << size;
    ASSERT_EQ(a.high, b.high) << size;
    ASSERT_EQ(a.any, b.any) << size;
    ASSERT_TRUE(std::equal(a.lower.begin(), a.lower.begin() + static_cast<long>(size), b.lower.begin()));
    std::vector<uint64_t> first(a.word.size());
    for (auto& bits : first) bits = random_() & random_();
    for (const uint64_t* f : {static_cast<const uint64_t*>(nullptr), static_cast<const uint64_t*>(first.data())}) {
      std::vector<uint32_t> h32(size + 1), s32(size + 1);
      std::vector<uint64_t> h64(size + 1), s64(size + 1);
      const size_t n = kernel_.hash32(a.lower.data(), size, a.word.data(), f, h32.data());
      ASSERT_LE(n, size);
      ASSERT_EQ(n, scalar_.hash32(b.lower.data(), size, b.word.data(), f, s32.data()));
      ASSERT_EQ(n, kernel_.hash64(a.lower.data(), size, a.word.data(), f, h64.data()));
      ASSERT_EQ(n, scalar_.hash64(b.lower.data(), size, b.word.data(), f, s64.data()));
      ASSERT_EQ(h32, s32) << size;
      ASSERT_EQ(h64, s64) << size;
    }
  }
}

// A word has the same hash wherever it stands, whatever stands around it, and however long it is another one than its
// beginning.
TEST_P(DedupKernels, HashesWordsAlone) {
  const std::string letters(300, 'q');
  std::vector<uint64_t> seen;
  for (size_t length = 1; length <= 300; length++)
    for (size_t at : {0, 1, 63, 64, 100}) {
      std::vector<uint8_t> t(at, '.');
      t.insert(t.end(), letters.begin(), letters.begin() + static_cast<long>(length));
      t.push_back('!'), t.push_back('z');
      const Classified c = classify(kernel_, t, true);
      std::vector<uint64_t> h(t.size());
      ASSERT_EQ(kernel_.hash64(c.lower.data(), t.size(), c.word.data(), nullptr, h.data()), 2u);
      if (at == 0) seen.push_back(h[0]);
      ASSERT_EQ(h[0], seen.back()) << length << " at " << at;
    }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST_P(DedupKernels, SketchesAsTheScalarOnes) {
  for (size_t count : {1, 2, 15, 16, 17, 100}) {
    for (size_t n : {1, 5, 64}) {
      const auto words = numbers(count + n - 1 + kLanes), coefficients = numbers(n);
      std::vector<uint32_t> a(count + kLanes), b(count + kLanes);
      kernel_.shingles(words.data(), count, coefficients.data(), n, a.data());
      scalar_.shingles(words.data(), count, coefficients.data(), n, b.data());
      a.resize(count), b.resize(count);
      ASSERT_EQ(a, b) << count << " of " << n;
    }
    for (size_t lanes : {16, 48, 64, 512}) {
      const auto shingles = numbers(count), multipliers = numbers(lanes);
      std::vector<uint32_t> a(lanes, 0xffffffff), b(a), c(lanes), d(lanes);
      kernel_.extremes(shingles.data(), count, multipliers.data(), lanes, a.data(), c.data());
      scalar_.extremes(shingles.data(), count, multipliers.data(), lanes, b.data(), d.data());
      ASSERT_EQ(a, b) << count << " in " << lanes;
      ASSERT_EQ(c, d) << count << " in " << lanes;
      uint32_t least = 0xffffffff;
      for (uint32_t s : shingles) least = std::min(least, s * multipliers[lanes - 1]);
      ASSERT_EQ(a[lanes - 1], least);
      std::vector<uint8_t> e(lanes), f(lanes);
      kernel_.digests(a.data(), c.data(), lanes, e.data());
      scalar_.digests(a.data(), c.data(), lanes, f.data());
      ASSERT_EQ(e, f);
      for (size_t bands : {1, 3, 16}) {
        std::vector<uint32_t> g(bands), h(bands);
        kernel_.keys(a.data(), bands, 16 / bands, g.data());
        scalar_.keys(a.data(), bands, 16 / bands, h.data());
        ASSERT_EQ(g, h) << bands;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DedupKernels, ::testing::ValuesIn(sets()),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace mithril::dedup
