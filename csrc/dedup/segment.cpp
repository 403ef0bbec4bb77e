#include "csrc/dedup/segment.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace mithril::dedup {

static constexpr const char* kSectionNames[] = {"ids",          "id_bytes",     "digests",   "hashes",
                                                "hash_numbers", "text_offsets", "text_bytes"};

const char* id_kind_name(IdKind kind) {
  switch (kind) {
    case IdKind::kAutomatic: return "automatic";
    case IdKind::kNumbers: return "numbers";
    case IdKind::kTexts: return "texts";
  }
  return "unknown";
}

std::string section_name(uint32_t section) {
  return section < kFirstBand ? kSectionNames[section] : "band " + std::to_string(section - kFirstBand);
}

Segment::Segment(const IndexParameters& parameters, uint64_t documents, std::vector<ByteView> sections,
                 std::vector<uint64_t> offsets, std::shared_ptr<const void> owner, std::string name)
    : parameters_(parameters),
      documents_(static_cast<uint32_t>(documents)),
      digest_bytes_(static_cast<uint64_t>(parameters.shape.permutations) / 2),
      sections_(std::move(sections)),
      offsets_(std::move(offsets)),
      owner_(std::move(owner)),
      name_(std::move(name)) {
  check_sizes();
}

void Segment::fail(uint32_t section, uint64_t position, const std::string& what) const {
  throw_corrupt(name_ + ": section " + section_name(section) + ": " + what + " (offset " +
                std::to_string(offsets_[section] + position) + ")");
}

void Segment::check_sizes() const {
  uint64_t n = documents_;
  auto expect = [&](uint32_t section, uint64_t size) {
    if (sections_[section].size != size)
      fail(section, 0,
           std::to_string(sections_[section].size) + " bytes, " + std::to_string(size) + " expected for " +
               std::to_string(n) + " documents");
  };
  bool texts_as_ids = parameters_.ids == IdKind::kTexts;
  expect(kIds, (n + texts_as_ids) * 8);
  if (!texts_as_ids) expect(kIdBytes, 0);
  expect(kDigests, n * digest_bytes_);
  expect(kHashes, n * 16);
  expect(kHashNumbers, n * 4);
  expect(kTextOffsets, parameters_.stores_texts ? (n + 1) * 8 : 0);
  if (!parameters_.stores_texts) expect(kTextBytes, 0);
  for (uint32_t s = kFirstBand; s < sections_.size(); s++)
    if (sections_[s].size % 8 || sections_[s].size / 8 > n)
      fail(s, 0,
           std::to_string(sections_[s].size) + " bytes are not entries of up to " + std::to_string(n) + " documents");
}

uint64_t Segment::left_out() const {
  uint64_t count = 0;
  for (uint32_t s = kFirstBand; s < sections_.size(); s++) count += documents_ - sections_[s].size / 8;
  return count;
}

// Index of the first of `count` ascending values, `stride` apart, that is at least `target`. The values are hashes, so
// where it must be is nearly known: a probe on either side of that place leaves about the root of what was left. Eight
// times, lest values that are no hashes make it slow.
static uint64_t lower_bound(const uint64_t* values, uint64_t count, uint64_t stride, uint64_t target) {
  uint64_t low = 0, high = count;
  double low_value = 0, high_value = 18446744073709551616.0;
  for (int probes = 0; high - low > 64 && probes < 8; probes++) {
    auto range = static_cast<double>(high - low);
    double place = range * (static_cast<double>(target) - low_value) / std::max(high_value - low_value, 1.0);
    auto margin = static_cast<uint64_t>(2 * std::sqrt(range));
    uint64_t guess = low + static_cast<uint64_t>(std::clamp(place, 0.0, range - 1));
    uint64_t left = guess - low > margin ? guess - margin : low, right = std::min(guess + margin, high - 1);
    if (values[left * stride] >= target) {
      high = left, high_value = static_cast<double>(values[left * stride]);
      continue;
    }
    low = left + 1, low_value = static_cast<double>(values[left * stride]);
    if (right < low) continue;
    if (values[right * stride] >= target)
      high = right, high_value = static_cast<double>(values[right * stride]);
    else
      low = right + 1, low_value = static_cast<double>(values[right * stride]);
  }
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (values[middle * stride] < target)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

Directory::Directory(const uint64_t* values, uint64_t count, uint64_t stride) {
  int bits = 1;
  while (bits < 30 && uint64_t{8} << bits <= count) bits++;
  shift_ = 64 - bits;
  starts_.resize(uint64_t{1} << bits);
  uint64_t i = 0;
  for (uint64_t prefix = 0; prefix < starts_.size(); prefix++) {
    while (i < count && values[i * stride] >> shift_ < prefix) i++;
    starts_[prefix] = static_cast<uint32_t>(i);
  }
}

void Segment::make_directories() {
  for (uint32_t s = kFirstBand; s < sections_.size(); s++)
    directories_.emplace_back(reinterpret_cast<const uint64_t*>(sections_[s].data), sections_[s].size / 8, 1);
  of_hashes_ = Directory(reinterpret_cast<const uint64_t*>(sections_[kHashes].data), documents_, 2);
}

void Segment::prefetch(const uint32_t* keys) const {
  for (uint32_t band = 0; band < directories_.size(); band++) directories_[band].prefetch(uint64_t{keys[band]} << 32);
  for (uint32_t band = 0; band < directories_.size(); band++)
    __builtin_prefetch(sections_[kFirstBand + band].data + 8 * directories_[band].start(uint64_t{keys[band]} << 32));
}

// As lower_bound, by a directory of the values.
static uint64_t lower_bound(const uint64_t* values, uint64_t count, uint64_t stride, uint64_t target,
                            const Directory& directory) {
  uint64_t i = directory.start(target);
  while (i < count && values[i * stride] < target) i++;
  return i;
}

Segment::Run Segment::find(uint32_t band, uint32_t key) const {
  ByteView section = sections_[kFirstBand + band];
  const auto* entries = reinterpret_cast<const uint64_t*>(section.data);
  uint64_t count = section.size / 8, target = uint64_t{key} << 32;
  uint64_t first = directories_.empty() ? lower_bound(entries, count, 1, target)
                                        : lower_bound(entries, count, 1, target, directories_[band]);
  uint64_t end = first;
  while (end < count && end - first < kMaxPerKey && entries[end] >> 32 == key) end++;
  return {entries + first, end - first};
}

uint32_t Segment::number(uint32_t band, const uint64_t* entry) const {
  auto number = static_cast<uint32_t>(*entry);
  if (number >= documents_)
    fail(kFirstBand + band,
         static_cast<uint64_t>(reinterpret_cast<const uint8_t*>(entry) - sections_[kFirstBand + band].data),
         "number " + std::to_string(number) + " is not below " + std::to_string(documents_));
  return number;
}

uint32_t Segment::hash_number(uint64_t place) const {
  uint32_t number = reinterpret_cast<const uint32_t*>(sections_[kHashNumbers].data)[place];
  if (number >= documents_)
    fail(kHashNumbers, place * 4, "number " + std::to_string(number) + " is not below " + std::to_string(documents_));
  return number;
}

void Segment::find(const Hash128& hash, uint64_t limit, std::vector<uint32_t>& numbers) const {
  const auto* hashes = reinterpret_cast<const uint64_t*>(sections_[kHashes].data);
  uint64_t first = of_hashes_.empty() ? lower_bound(hashes, documents_, 2, hash.low)
                                      : lower_bound(hashes, documents_, 2, hash.low, of_hashes_);
  for (uint64_t i = first; i < documents_ && limit; i++) {
    if (hashes[2 * i] != hash.low || hashes[2 * i + 1] > hash.high) break;
    if (hashes[2 * i + 1] != hash.high) continue;
    numbers.push_back(hash_number(i));
    limit--;
  }
}

std::string_view Segment::piece(uint32_t offsets, uint32_t bytes, uint32_t number) const {
  const auto* at = reinterpret_cast<const uint64_t*>(sections_[offsets].data) + number;
  if (at[0] > at[1] || at[1] > sections_[bytes].size)
    fail(offsets, number * uint64_t{8},
         "piece from " + std::to_string(at[0]) + " to " + std::to_string(at[1]) + " of " +
             std::to_string(sections_[bytes].size) + " bytes");
  return {reinterpret_cast<const char*>(sections_[bytes].data) + at[0], at[1] - at[0]};
}

void Segment::check_pieces(uint32_t offsets, uint32_t bytes) const {
  const auto* at = reinterpret_cast<const uint64_t*>(sections_[offsets].data);
  if (at[0] != 0) fail(offsets, 0, "the first piece begins at " + std::to_string(at[0]));
  for (uint32_t i = 0; i < documents_; i++) piece(offsets, bytes, i);
  if (at[documents_] != sections_[bytes].size)
    fail(offsets, documents_ * uint64_t{8}, "the last piece ends at " + std::to_string(at[documents_]));
}

void Segment::check_hashes() const {
  const auto* hashes = reinterpret_cast<const uint64_t*>(sections_[kHashes].data);
  auto entry = [&](uint64_t i) { return std::make_tuple(hashes[2 * i], hashes[2 * i + 1], hash_number(i)); };
  std::vector<bool> seen(documents_);
  for (uint64_t i = 0; i < documents_; i++) {
    if (seen[hash_number(i)]) fail(kHashNumbers, i * 4, "number " + std::to_string(hash_number(i)) + " occurs twice");
    seen[hash_number(i)] = true;
    if (i && !(entry(i - 1) < entry(i))) fail(kHashes, i * 16, "not in ascending order");
  }
}

void Segment::check_band(uint32_t band) const {
  ByteView section = sections_[kFirstBand + band];
  const auto* entries = reinterpret_cast<const uint64_t*>(section.data);
  uint64_t same = 0;
  for (uint64_t i = 0; i < section.size / 8; i++) {
    number(band, entries + i);
    if (i && entries[i - 1] >= entries[i]) fail(kFirstBand + band, i * 8, "not in ascending order");
    same = i && entries[i - 1] >> 32 == entries[i] >> 32 ? same + 1 : 1;
    if (same > kMaxPerKey)
      fail(kFirstBand + band, i * 8, "more than " + std::to_string(kMaxPerKey) + " documents of a key");
  }
}

void Segment::check() const {
  if (parameters_.ids == IdKind::kTexts) check_pieces(kIds, kIdBytes);
  if (parameters_.stores_texts) check_pieces(kTextOffsets, kTextBytes);
  check_hashes();
  for (uint32_t band = 0; band + kFirstBand < sections_.size(); band++) check_band(band);
}

}  // namespace mithril::dedup
