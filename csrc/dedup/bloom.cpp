#include "csrc/dedup/bloom.h"

#include <cmath>
#include <mutex>

#include "csrc/base/checksum.h"
#include "csrc/base/error.h"
#include "csrc/dedup/band_hashes.h"
#include "csrc/dedup/shares.h"

namespace mithril::dedup {

static constexpr uint64_t kAhead = 4;  // texts whose blocks are fetched before they are looked at

static BloomShape filter_for(const BloomParameters& p) {
  if (p.expected_documents < 1 || p.expected_documents > uint64_t{1} << 40)
    throw_invalid("expected_documents " + std::to_string(p.expected_documents) + " is not from 1 to 2^40");
  if (!(p.false_positive_rate >= 1e-9 && p.false_positive_rate <= 0.5))
    throw_invalid("false_positive_rate " + std::to_string(p.false_positive_rate) + " is not from 1e-9 to 0.5");
  check(p.rules), check(p.shape);
  double rate = -std::expm1(std::log1p(-p.false_positive_rate) / p.shape.bands);
  return bloom_shape_for(p.expected_documents, rate);
}

BloomIndex::BloomIndex(const BloomParameters& parameters, int threads)
    : BloomIndex(parameters, filter_for(parameters), threads) {}

BloomIndex::BloomIndex(const BloomParameters& parameters, const BloomShape& filter, int threads)
    : parameters_(parameters),
      filter_(filter),
      threads_(threads),
      bands_(static_cast<uint64_t>(parameters.shape.bands)),
      sketcher_(parameters.rules, parameters.shape),
      words_(bands_ * filter.blocks * kBloomBlockWords) {}

// Of each text one hash a band; an empty text is marked in `answers`.
std::vector<uint64_t> BloomIndex::hashes_of(const Texts& texts, std::vector<uint8_t>& answers) const {
  uint64_t n = texts.count();
  std::vector<uint64_t> hashes(n * bands_);
  answers.assign(n, 0);
  for_each_share(n, threads_, "sketch", {}, [&](uint64_t, uint64_t first, uint64_t last) {
    Sketcher::ScratchPointer scratch = sketcher_.scratch();
    std::vector<uint32_t> minima(static_cast<size_t>(parameters_.shape.permutations));
    std::string holder;
    for (uint64_t i = first; i < last; i++) {
      try {
        if (sketcher_.minima(texts.text(i, holder), *scratch, minima.data()))
          hash_bands(minima.data(), parameters_.shape, &hashes[i * bands_]);
        else
          answers[i] = kEmptyText;
      } catch (const Error& e) {
        throw Error(e.kind(), "text " + std::to_string(i) + ": " + e.what());
      }
    }
  });
  return hashes;
}

void BloomIndex::prefetch(const uint64_t* hashes) const {
  for (uint64_t band = 0; band < bands_; band++) __builtin_prefetch(block(band, bloom_block(filter_, hashes[band])));
}

bool BloomIndex::knows(const uint64_t* hashes) const {
  for (uint64_t band = 0; band < bands_; band++) {
    BloomKey key(filter_, hashes[band]);
    if (key.in(block(band, key.block))) return true;
  }
  return false;
}

void BloomIndex::insert(const uint64_t* hashes) {
  for (uint64_t band = 0; band < bands_; band++) {
    BloomKey key(filter_, hashes[band]);
    key.add_to(block(band, key.block));
  }
  documents_++;
}

std::vector<uint8_t> BloomIndex::query(const Texts& texts) const {
  std::vector<uint8_t> answers;
  std::vector<uint64_t> hashes = hashes_of(texts, answers);
  std::shared_lock<std::shared_mutex> lock(mutex_);
  for (uint64_t i = 0; i < answers.size(); i++) {
    if (i + kAhead < answers.size()) prefetch(&hashes[(i + kAhead) * bands_]);
    if (!answers[i]) answers[i] = knows(&hashes[i * bands_]);
  }
  return answers;
}

std::vector<uint8_t> BloomIndex::deduplicate(const Texts& texts) {
  std::vector<uint8_t> answers;
  std::vector<uint64_t> hashes = hashes_of(texts, answers);
  std::unique_lock<std::shared_mutex> lock(mutex_);
  for (uint64_t i = 0; i < answers.size(); i++) {
    if (i + kAhead < answers.size()) prefetch(&hashes[(i + kAhead) * bands_]);
    if (answers[i]) continue;
    answers[i] = knows(&hashes[i * bands_]);
    if (!answers[i]) insert(&hashes[i * bands_]);
  }
  return answers;
}

uint64_t BloomIndex::documents() const {
  std::shared_lock<std::shared_mutex> lock(mutex_);
  return documents_;
}

double BloomIndex::false_positive_rate() const {
  return -std::expm1(static_cast<double>(bands_) * std::log1p(-bloom_rate(filter_, documents())));
}

static bool equal(const BloomParameters& a, const BloomParameters& b) {
  return a.rules.form == b.rules.form && a.rules.fold_case == b.rules.fold_case &&
         a.rules.ignore_punctuation == b.rules.ignore_punctuation && a.rules.ngram_size == b.rules.ngram_size &&
         a.shape.permutations == b.shape.permutations && a.shape.bands == b.shape.bands &&
         a.shape.rows == b.shape.rows && a.shape.seed == b.shape.seed && a.expected_documents == b.expected_documents &&
         a.false_positive_rate == b.false_positive_rate;
}

void BloomIndex::merge(const BloomIndex& other) {
  if (this == &other) return;
  if (!equal(parameters_, other.parameters_) || filter_.blocks != other.filter_.blocks ||
      filter_.bits_per_key != other.filter_.bits_per_key)
    throw_invalid("the other Bloom index was made with other options");
  std::lock(mutex_, other.mutex_);
  std::unique_lock<std::shared_mutex> mine(mutex_, std::adopt_lock), theirs(other.mutex_, std::adopt_lock);
  for (uint64_t w = 0; w < words_.size(); w++) words_[w] |= other.words_[w];
  documents_ += other.documents_;
}

}  // namespace mithril::dedup
