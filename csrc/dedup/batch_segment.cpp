#include "csrc/dedup/batch_segment.h"

#include <algorithm>
#include <numeric>

#include "csrc/base/parallel.h"

namespace mithril::dedup {

namespace {

// The sections, as vectors.
struct Arrays {
  std::vector<uint64_t> ids;
  std::string id_bytes;
  std::vector<uint8_t> digests;
  std::vector<Hash128> hashes;
  std::vector<uint32_t> hash_numbers;
  std::vector<uint64_t> text_offsets;
  std::string text_bytes;
  std::vector<std::vector<uint64_t>> bands;
};

template <class Values>
ByteView view_of(const Values& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(values[0])};
}

void fill_ids(const IndexParameters& parameters, const BatchIds& ids, Arrays& arrays) {
  if (parameters.ids != IdKind::kTexts) {
    arrays.ids.assign(ids.numbers.begin(), ids.numbers.end());
    return;
  }
  arrays.ids.push_back(0);
  for (const std::string& id : ids.texts) arrays.id_bytes += id, arrays.ids.push_back(arrays.id_bytes.size());
}

void fill_hashes(const BatchSketches& sketches, const std::vector<uint64_t>& chosen, Arrays& arrays) {
  arrays.hash_numbers.resize(chosen.size());
  std::iota(arrays.hash_numbers.begin(), arrays.hash_numbers.end(), 0);
  auto hash = [&](uint32_t number) -> const Hash128& { return sketches.hashes[chosen[number]]; };
  std::sort(arrays.hash_numbers.begin(), arrays.hash_numbers.end(), [&](uint32_t a, uint32_t b) {
    const Hash128 &x = hash(a), &y = hash(b);
    return x.low != y.low ? x.low < y.low : x.high != y.high ? x.high < y.high : a < b;
  });
  for (uint32_t number : arrays.hash_numbers) arrays.hashes.push_back(hash(number));
}

void fill_texts(const Texts& texts, const BatchSketches& sketches, const std::vector<uint64_t>& chosen,
                Arrays& arrays) {
  uint64_t size = 0;
  for (uint64_t i : chosen) size += sketches.bytes[i];
  arrays.text_bytes.reserve(size);
  arrays.text_offsets.push_back(0);
  std::string scratch;
  for (uint64_t i : chosen) {
    arrays.text_bytes += texts.text(i, scratch);
    arrays.text_offsets.push_back(arrays.text_bytes.size());
  }
}

void fill_band(const BatchSketches& sketches, const std::vector<uint64_t>& chosen, uint64_t band,
               std::vector<uint64_t>& entries) {
  entries.resize(chosen.size());
  for (uint64_t k = 0; k < chosen.size(); k++) entries[k] = uint64_t{sketches.keys_of(chosen[k])[band]} << 32 | k;
  std::sort(entries.begin(), entries.end());
  uint64_t kept = 0, same = 0, previous = ~uint64_t{0};
  for (uint64_t entry : entries) {  // of a key the first, as many as a bucket holds
    same = entry >> 32 == previous ? same + 1 : 1;
    previous = entry >> 32;
    if (same <= kMaxPerKey) entries[kept++] = entry;
  }
  entries.resize(kept);
}

}  // namespace

std::shared_ptr<Segment> make_segment(const IndexParameters& parameters, const Texts& texts,
                                      const BatchSketches& sketches, const std::vector<uint64_t>& chosen,
                                      const BatchIds& ids, int threads) {
  auto arrays = std::make_shared<Arrays>();
  fill_ids(parameters, ids, *arrays);
  for (uint64_t i : chosen)
    arrays->digests.insert(arrays->digests.end(), sketches.digests_of(i),
                           sketches.digests_of(i) + sketches.digest_bytes);
  fill_hashes(sketches, chosen, *arrays);
  if (parameters.stores_texts) fill_texts(texts, sketches, chosen, *arrays);
  arrays->bands.resize(sketches.bands);
  parallel_for(sketches.bands, threads, [&](size_t band) { fill_band(sketches, chosen, band, arrays->bands[band]); });
  std::vector<ByteView> sections = {
      view_of(arrays->ids),          view_of(arrays->id_bytes),     view_of(arrays->digests),   view_of(arrays->hashes),
      view_of(arrays->hash_numbers), view_of(arrays->text_offsets), view_of(arrays->text_bytes)};
  for (const std::vector<uint64_t>& band : arrays->bands) sections.push_back(view_of(band));
  std::vector<uint64_t> offsets(sections.size(), 0);
  return std::make_shared<Segment>(parameters, chosen.size(), std::move(sections), std::move(offsets), arrays,
                                   "index in memory");
}

}  // namespace mithril::dedup
