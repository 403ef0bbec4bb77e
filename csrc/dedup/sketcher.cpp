#include "csrc/dedup/sketcher.h"

#include <algorithm>
#include <cstring>

#include "csrc/dedup/words.h"

namespace mithril::dedup {

namespace {

// Steele, Lea and Flood's SplitMix64.
uint64_t next_random(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

std::vector<uint32_t> odd_numbers(size_t count, uint64_t seed) {
  std::vector<uint32_t> numbers(count);
  for (uint32_t& n : numbers) n = static_cast<uint32_t>(next_random(seed) >> 32) | 1;
  return numbers;
}

constexpr uint64_t kShingleSeed = 0x6d697468'72696c00u;

}  // namespace

struct Sketcher::Scratch {
  Words::Scratch words;
  Row<uint32_t> hashes, shingles;
  std::vector<uint32_t> values;
};

Sketcher::Sketcher(const TextRules& rules, const SketchShape& shape) : rules_(rules), shape_(shape) {
  check(rules), check(shape);
  words_ = std::make_shared<const Words>(rules);
  const auto half = static_cast<size_t>(shape.permutations) / 2;
  lanes_ = (half + kLanes - 1) / kLanes * kLanes;
  multipliers_ = odd_numbers(lanes_, shape.seed);
  coefficients_ = odd_numbers(static_cast<size_t>(rules.ngram_size), kShingleSeed);
}

Sketcher::~Sketcher() = default;

void Sketcher::ScratchDeleter::operator()(Scratch* scratch) const { delete scratch; }
Sketcher::ScratchPointer Sketcher::scratch() const { return ScratchPointer(new Scratch); }

void Sketcher::start(std::vector<uint32_t>& values) const {
  values.resize(2 * lanes_);
  std::fill_n(values.begin(), lanes_, 0xffffffffu);
  std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(lanes_), lanes_, 0u);
}

bool Sketcher::extremes(std::string_view text, Scratch& scratch) const {
  const Kernels& kernel = kernels(isa());
  const auto n = static_cast<size_t>(rules_.ngram_size);
  Row<uint32_t>& hashes = scratch.hashes;
  std::vector<uint32_t>& values = scratch.values;
  start(values);
  hashes.clear();
  bool any = false;
  for (uint64_t position = 0; position < text.size();) {
    words_->read(text, position, scratch.words, hashes);
    if (hashes.size() < n) continue;
    const size_t count = hashes.size() - (n - 1);
    scratch.shingles.clear();
    uint32_t* shingles = scratch.shingles.room(count + kLanes);
    kernel.shingles(hashes.data(), count, coefficients_.data(), n, shingles);
    kernel.extremes(shingles, count, multipliers_.data(), lanes_, values.data(), values.data() + lanes_);
    hashes.keep_last(n - 1);
    any = true;
  }
  if (!any) {
    if (hashes.size() == 0) return false;
    uint32_t shingle[1 + kLanes];
    kernel.shingles(hashes.data(), 1, coefficients_.data(), hashes.size(), shingle);
    *shingle += static_cast<uint32_t>(hashes.size()) * 0x9e3779b9u;  // fewer than n words are another kind of shingle
    kernel.extremes(shingle, 1, multipliers_.data(), lanes_, values.data(), values.data() + lanes_);
  }
  return true;
}

bool Sketcher::sketch(std::string_view text, Scratch& scratch, uint32_t* keys, uint8_t* digests) const {
  if (!extremes(text, scratch)) return false;
  finish(scratch.values, keys, digests);
  return true;
}

bool Sketcher::minima(std::string_view text, Scratch& scratch, uint32_t* to) const {
  if (!extremes(text, scratch)) return false;
  copy_minima(scratch.values, to);
  return true;
}

void Sketcher::minima(const uint32_t* shingles, uint64_t count, uint32_t* to) const {
  std::vector<uint32_t> values;
  start(values);
  kernels(isa()).extremes(shingles, count, multipliers_.data(), lanes_, values.data(), values.data() + lanes_);
  copy_minima(values, to);
}

void Sketcher::copy_minima(const std::vector<uint32_t>& values, uint32_t* to) const {
  const auto half = static_cast<size_t>(shape_.permutations) / 2;
  for (size_t j = 0; j < half; j++) to[j] = values[j], to[half + j] = ~values[lanes_ + j];
}

// values: the minima of all lanes, then the maxima, which are moved up. Row r of band b is permutation r × bands + b.
void Sketcher::finish(std::vector<uint32_t>& values, uint32_t* keys, uint8_t* digests) const {
  const Kernels& kernel = kernels(isa());
  const auto half = static_cast<size_t>(shape_.permutations) / 2;
  kernel.digests(values.data(), values.data() + lanes_, half, digests);
  if (half != lanes_) std::memmove(values.data() + half, values.data() + lanes_, 4 * half);
  kernel.keys(values.data(), static_cast<size_t>(shape_.bands), static_cast<size_t>(shape_.rows), keys);
}

int Sketcher::agreement(const uint8_t* a, const uint8_t* b) const {
  const auto bytes = static_cast<size_t>(shape_.permutations) / 2;
  int different = 0;
  for (size_t j = 0; j < bytes;) {
    uint64_t nibbles = 0;  // each counts the digests that differ at its place in up to 15 words
    for (int k = 0; k < 15 && j < bytes; k++, j += 8) {
      uint64_t x = 0, y = 0;
      const size_t n = std::min<size_t>(8, bytes - j);
      if (n == 8)
        std::memcpy(&x, a + j, 8), std::memcpy(&y, b + j, 8);
      else
        std::memcpy(&x, a + j, n), std::memcpy(&y, b + j, n);
      x ^= y;
      x |= x >> 2, x |= x >> 1;
      nibbles += x & 0x1111111111111111u;
    }
    const uint64_t pairs = (nibbles & 0x0f0f0f0f0f0f0f0fu) + (nibbles >> 4 & 0x0f0f0f0f0f0f0f0fu);
    different += static_cast<int>(pairs * 0x0101010101010101u >> 56);
  }
  return shape_.permutations - different;
}

double Sketcher::estimate(const uint8_t* a, const uint8_t* b) const {
  const double share = static_cast<double>(agreement(a, b)) / shape_.permutations;
  return std::max(0.0, (share - 1.0 / 16) / (15.0 / 16));
}

}  // namespace mithril::dedup
