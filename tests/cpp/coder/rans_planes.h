// What rans is tested with: planes, and models made by hand.
#pragma once
#include <array>
#include <numeric>

#include "csrc/coder/rans.h"
#include "csrc/coder/rans_table.h"
#include "tests/cpp/support/samples.h"

namespace mithril {

enum class Content { kTwo, kGeometric, kNearlyOne, kSixteen, kThirtyTwo, kForty, kEscapes, kBytes, kRuns };
inline constexpr Content kContents[] = {Content::kTwo,     Content::kGeometric, Content::kNearlyOne,
                                        Content::kSixteen, Content::kThirtyTwo, Content::kForty,
                                        Content::kEscapes, Content::kBytes,     Content::kRuns};

inline uint8_t symbol(Content content, uint64_t i, Random& random) {
  uint64_t r = random.next(), zeros = static_cast<uint64_t>(__builtin_ctzll(random.next() | 1ull << 40));
  switch (content) {
    case Content::kTwo: return r & 1 ? 3 : 200;
    case Content::kGeometric: return static_cast<uint8_t>(124 - zeros);
    case Content::kNearlyOne: return r % 1000 ? 77 : static_cast<uint8_t>(r >> 32);
    case Content::kSixteen: return static_cast<uint8_t>(r % 16 * 17);
    case Content::kThirtyTwo: return static_cast<uint8_t>(100 + r % 32);
    case Content::kForty: return static_cast<uint8_t>(r % 40 * 6 + (zeros > 4));
    case Content::kEscapes: return r % 3 ? 9 : static_cast<uint8_t>(r >> 32);
    case Content::kBytes: return static_cast<uint8_t>(r);
    case Content::kRuns: return static_cast<uint8_t>(i / 5000 % 3);
  }
  return 0;
}

inline Bytes rans_symbols(Content content, uint64_t n, uint32_t bits = 8, uint64_t seed = 0) {
  Random random(n + bits + seed);
  Bytes bytes(n);
  for (uint64_t i = 0; i < n; i++) bytes[i] = static_cast<uint8_t>(symbol(content, i, random) & ((1 << bits) - 1));
  return bytes;
}

// The `size - 1` commonest values of the symbols, or others where there are fewer, with frequencies about theirs.
inline RansTable table_of(const Bytes& symbols, uint32_t size, uint32_t bits = 8) {
  std::array<uint64_t, 256> counts{};
  for (uint8_t s : symbols) counts[s]++;
  std::vector<uint32_t> order(1u << bits);
  std::iota(order.begin(), order.end(), 0u);
  size = std::min(size, static_cast<uint32_t>(order.size()) + 1);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return counts[a] > counts[b]; });
  std::sort(order.begin(), order.begin() + size - 1);
  RansTable table{};
  table.size = size;
  uint32_t left = 256 - size, given = 0;  // beyond the one that each has
  uint64_t total = symbols.size() + 1;
  for (uint32_t k = 0; k < size; k++) {
    uint64_t share = k + 1 < size ? counts[order[k]] * left / total : 0;
    if (k + 1 < size) table.value[k] = static_cast<uint8_t>(order[k]);
    table.frequency[k] = static_cast<uint8_t>(1 + share), given += static_cast<uint32_t>(share);
  }
  uint8_t* most = std::max_element(table.frequency, table.frequency + size);
  *most = static_cast<uint8_t>(*most + left - given);
  complete(table);
  return table;
}

// Random frequencies, from even to one that has nearly all; random values, in order.
inline RansTable random_table(uint32_t size, uint64_t seed) {
  Random random(seed);
  RansTable table{};
  table.size = size;
  std::vector<uint32_t> values(256);
  std::iota(values.begin(), values.end(), 0u);
  for (uint32_t k = 0; k < 255; k++) std::swap(values[k], values[k + random.below(256 - k)]);
  std::sort(values.begin(), values.begin() + size - 1);
  std::vector<uint32_t> frequencies(size, 1);
  for (uint32_t left = 256 - size, favourite = 0; left > 0;) {
    if (random.below(4) == 0 || seed % 3 == 0) favourite = static_cast<uint32_t>(random.below(size));
    uint32_t more = 1 + static_cast<uint32_t>(random.below(seed % 5 == 0 ? left : std::min(left, 8u)));
    frequencies[favourite] += more, left -= more;
  }
  for (uint32_t k = 0; k < size; k++) {
    table.frequency[k] = static_cast<uint8_t>(frequencies[k]);
    if (k + 1 < size) table.value[k] = static_cast<uint8_t>(values[k]);
  }
  complete(table);
  return table;
}

// A segment for each size in units of kRansUnit and the rest; those with a table size of 0 verbatim.
inline RansModel segments_of(const Bytes& plane, const std::vector<uint64_t>& units,
                             const std::vector<uint32_t>& table_sizes, uint32_t lanes) {
  RansModel model;
  model.lanes = lanes;
  uint64_t begin = 0;
  for (size_t i = 0; i < table_sizes.size(); i++) {
    uint64_t end = i < units.size() ? begin + units[i] * kRansUnit : plane.size();
    Bytes part(plane.begin() + static_cast<long>(begin), plane.begin() + static_cast<long>(end));
    model.tables.push_back(table_sizes[i] ? table_of(part, table_sizes[i]) : RansTable{});
    model.segment_ends.push_back(begin = end);
  }
  return model;
}

// Context c has class `class_of(c)`, whose table is made of the symbols with such contexts.
template <class F>
RansModel classes_of(const Bytes& plane, const Bytes& context, uint32_t classes, uint32_t table_size, uint32_t lanes,
                     F&& class_of, uint32_t bits = 8) {
  RansModel model;
  model.lanes = lanes;
  std::vector<Bytes> parts(classes);
  for (uint32_t c = 0; c < 256; c++) model.class_of[c] = static_cast<uint8_t>(class_of(c));
  for (uint64_t i = 0; i < plane.size(); i++) parts[model.class_of[context[i]]].push_back(plane[i]);
  for (const Bytes& part : parts) model.tables.push_back(table_of(part, table_size, bits));
  return model;
}

// What each lane coded before.
inline Bytes lane_context(const Bytes& plane, uint32_t lanes) {
  Bytes context(plane.size());
  for (uint64_t i = lanes; i < plane.size(); i++) context[i] = plane[i - lanes];
  return context;
}

}  // namespace mithril
