// Models of rans from samples, in integers only: the same tables on every machine.
#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "csrc/base/checked.h"
#include "csrc/coder/coder.h"
#include "csrc/coder/log2.h"
#include "csrc/coder/rans_table.h"

namespace mithril {

static constexpr uint32_t kEscapeBelow = 512;      // a value rarer than 1 in so many becomes an escape
static constexpr uint64_t kManySymbols = 1 << 17;  // from here on 128 lanes weigh less than they gain in speed
static constexpr uint32_t kHeaderBytes = 24;       // of a stream, about, without states and tables
static constexpr uint32_t kMaxClasses = 8, kMaxGroups = 32;

using Counts = std::array<uint32_t, 256>;

struct Counted {
  uint32_t count;
  uint8_t value;
};

// Rounds shares of `total` to 256ths; then single units move where they cost least. log2((f + 1) / f) is taken as
// 2 / (2f + 1).
static void quantise(const uint64_t* weights, uint64_t total, uint32_t size, uint8_t* frequencies) {
  uint32_t f[kRansMaxTable], sum = 0;
  for (uint32_t k = 0; k < size; k++) {
    f[k] = std::max<uint32_t>(1, static_cast<uint32_t>((weights[k] * 512 / total + 1) / 2));
    sum += f[k];
  }
  for (; sum > 256; sum--) {
    uint32_t best = size;
    for (uint32_t k = 0; k < size; k++)
      if (f[k] > 1 && (best == size || weights[k] * (2 * f[best] - 1) < weights[best] * (2 * f[k] - 1))) best = k;
    f[best]--;
  }
  for (; sum < 256; sum++) {
    uint32_t best = 0;
    for (uint32_t k = 1; k < size; k++)
      if (weights[k] * (2 * f[best] + 1) > weights[best] * (2 * f[k] + 1)) best = k;
    f[best]++;
  }
  for (uint32_t k = 0; k < size; k++) frequencies[k] = static_cast<uint8_t>(f[k]);
}

// Nibbles for `escapes` symbols: one for the commonest 15 values that are not in the table, two for the next 15, and
// four.
static uint64_t escape_nibbles(const Counts& counts, const RansTable& table, uint64_t escapes) {
  std::array<uint32_t, 256> others;
  uint32_t m = 0;
  for (uint32_t v = 0; v < 256; v++)
    if (counts[v] && table.index_of_value[v] == table.size - 1) others[m++] = counts[v];
  if (m > 15) std::sort(others.begin(), others.begin() + m, std::greater<uint32_t>());
  uint64_t nibbles = escapes;
  for (uint32_t i = 15; i < m; i++) nibbles += others[i] * (i < 30 ? 1 : 3);
  return nibbles;
}

// Fills the table from counts and returns the bytes that coding them takes, table included, when they stand for `scale`
// times as many symbols.
static uint64_t make_table(const Counts& counts, uint64_t total, uint32_t max_table, uint64_t scale, RansTable& table) {
  std::array<Counted, 256> sorted;
  uint32_t m = 0, k = 0;
  for (uint32_t v = 0; v < 256; v++)
    if (counts[v] * uint64_t{kEscapeBelow} > total) sorted[m++] = {counts[v], static_cast<uint8_t>(v)};
  if (m == 0) sorted[m++] = {1, 0};  // nothing is common, or there is nothing
  if (m > max_table - 1) {
    std::partial_sort(
        sorted.begin(), sorted.begin() + max_table - 1, sorted.begin() + m,
        [](const Counted& a, const Counted& b) { return a.count != b.count ? a.count > b.count : a.value < b.value; });
    m = max_table - 1;
    std::sort(sorted.begin(), sorted.begin() + m, [](const Counted& a, const Counted& b) { return a.value < b.value; });
  }
  uint64_t weights[kRansMaxTable], escapes = total;
  for (; k < m; k++) {
    table.value[k] = sorted[k].value;
    weights[k] = 4 * uint64_t{sorted[k].count};
    escapes -= std::min<uint64_t>(escapes, sorted[k].count);
  }
  weights[k] = std::max<uint64_t>(4 * escapes, 1);  // a sample without escapes does not say that there are none
  table.size = k + 1;
  quantise(weights, std::max<uint64_t>(4 * total, 4), table.size, table.frequency);
  complete(table);
  uint64_t bits_q16 = escape_nibbles(counts, table, escapes) * (4 << 16);
  for (uint32_t i = 0; i <= k; i++)
    bits_q16 += (i < k ? weights[i] / 4 : escapes) * ((8 << 16) - log2_q16(table.frequency[i]));
  return (bits_q16 >> 16) * scale / 8 + 2 * table.size + 3;
}

// Bits of an order-0 code of the counts, in 1/65536; a byte each for what is nearly flat.
static uint64_t cost_q16(const Counts& counts, uint32_t lowest, uint32_t highest) {
  uint64_t total = 0, sum = 0;
  for (uint32_t v = lowest; v <= highest; v++)
    if (uint64_t c = counts[v]) total += c, sum += c * log2_q16(c);
  if (total == 0) return 0;
  uint64_t bits = total * log2_q16(total) - sum;
  return bits > total * (15 << 15) ? total << 19 : bits;
}

static void count(const uint8_t* symbols, uint64_t n, Counts& sum) {
  std::array<Counts, 4> counts{};  // four tables: equal neighbours would wait for each other's store
  uint64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (uint64_t k = 0; k < 4; k++) counts[k][symbols[i + k]]++;
  for (; i < n; i++) counts[0][symbols[i]]++;
  for (uint32_t v = 0; v < 256; v++) sum[v] = counts[0][v] + counts[1][v] + counts[2][v] + counts[3][v];
}

bool choose_segments(const Sample& sample, uint64_t n, const RansOptions& options, RansModel& model) {
  uint64_t total = std::max<uint64_t>(sample.count, 1), scale = ceil_div(n, total);
  uint64_t segments = std::min<uint64_t>(std::max<uint64_t>(n / options.segment, 1), options.max_segments);
  uint64_t length = ceil_div(ceil_div(n, segments), kRansUnit) * kRansUnit;
  model.lanes = n < kManySymbols || options.small ? 64 : 128;
  model.tables.clear(), model.segment_ends.clear();
  model.estimate = kHeaderBytes + 2 * model.lanes;

  Counts held{}, next;
  uint64_t held_total = 0, held_bits = 0;
  uint32_t lowest = 255, highest = 0;
  bool flat = true;
  auto close = [&](uint64_t end) {
    RansTable& table = model.tables.emplace_back();
    uint64_t begin = model.segment_ends.empty() ? 0 : model.segment_ends.back();
    uint64_t size = make_table(held, held_total, options.max_table, scale, table);
    model.segment_ends.push_back(end);
    bool verbatim = size >= end - begin && held_total;
    if (verbatim) table = {}, size = end - begin;
    flat = flat && verbatim;
    model.estimate += size;
  };
  // A table more pays when it saves its own bytes, and what it only seems to save by following the sample.
  for (uint64_t end = 0; end < n || end == 0;) {
    uint64_t begin = end;
    end = std::min(n, begin + length);
    uint64_t from = begin * total / std::max<uint64_t>(n, 1), to = n ? end * total / n : 0;
    to = std::min(to, sample.count), from = std::min(from, to);
    count(sample.symbols + from, to - from, next);
    for (uint32_t v = 0; v < 256; v++)
      if (next[v]) lowest = std::min(lowest, v), highest = std::max(highest, v);
    uint64_t next_bits = cost_q16(next, lowest, highest);
    if (held_total) {
      Counts both = held;
      uint64_t entries = 0;
      for (uint32_t v = lowest; v <= highest; v++) both[v] += next[v], entries += both[v] * 600ull > held_total;
      uint64_t both_bits = cost_q16(both, lowest, highest);
      uint64_t saved = both_bits - std::min(both_bits, held_bits + next_bits);
      if ((saved >> 16) * scale > (64 + 16 * entries) + entries * scale * 3 / 4) {
        close(begin);
        held = next, held_total = to - from, held_bits = next_bits;
      } else {
        held = both, held_total += to - from, held_bits = both_bits;
      }
    } else {
      held = next, held_total = to - from, held_bits = next_bits;
    }
    if (end >= n) break;
  }
  close(n);
  return !(flat && sample.count > 0);
}

// Contexts lie in order, and classes are ranges of them: those that together cost least, by dynamic programming over
// groups of contexts.
bool choose_classes(const uint8_t* symbols, const uint8_t* context, uint64_t n, const RansOptions& options,
                    uint64_t limit, RansModel& model) {
  constexpr uint64_t kStride = 4 * kSampleRun;
  Counts of_symbols{}, of_contexts{};
  uint64_t total = 0;
  auto each_run = [&](auto body) {
    for (uint64_t at = 0; at < n; at += kStride) body(at, std::min(kSampleRun, n - at));
  };
  each_run([&](uint64_t at, uint64_t run) {
    for (uint64_t i = at; i < at + run; i++) of_symbols[symbols[i]]++, of_contexts[context[i]]++;
    total += run;
  });
  if (total == 0) return false;

  // Symbols that are too rare for a table count as one; contexts form groups of about equal weight.
  std::array<uint8_t, 256> column{}, group{};
  uint32_t columns = 1, groups = 0;
  for (uint32_t v = 0; v < 256; v++)
    if (of_symbols[v] * uint64_t{kEscapeBelow} > total && columns < kRansMaxTable)
      column[v] = static_cast<uint8_t>(columns++);
  uint64_t weight = 0;
  for (uint32_t v = 0; v < 256; v++) {
    group[v] = static_cast<uint8_t>(groups);
    weight += of_contexts[v];
    if (weight * kMaxGroups >= (groups + 1) * total && groups + 1 < kMaxGroups) groups++;
  }
  groups++;
  std::vector<std::array<uint32_t, kRansMaxTable>> joint(groups);
  for (auto& row : joint) row.fill(0);
  each_run([&](uint64_t at, uint64_t run) {
    for (uint64_t i = at; i < at + run; i++) joint[group[context[i]]][column[symbols[i]]]++;
  });

  // cost[a][b]: groups a to b - 1 in one class.
  constexpr uint64_t kInfinite = ~uint64_t{0} / 4;
  std::vector<std::vector<uint64_t>> cost(groups, std::vector<uint64_t>(groups + 1, 0));
  for (uint32_t a = 0; a < groups; a++) {
    std::array<uint32_t, kRansMaxTable> sum{};
    for (uint32_t b = a; b < groups; b++) {
      uint64_t weight_of_all = 0, bits = 0, entries = 0;
      for (uint32_t s = 0; s < columns; s++) {
        sum[s] += joint[b][s];
        if (uint64_t c = sum[s]) weight_of_all += c, bits += c * log2_q16(c), entries++;
      }
      bits = weight_of_all ? weight_of_all * log2_q16(weight_of_all) - bits : 0;
      cost[a][b + 1] = bits + (((64 + 16 * entries) * total / n + entries * 3 / 4) << 16);
    }
  }
  uint32_t most = std::min(kMaxClasses, groups);
  std::vector<std::vector<uint64_t>> best(most + 1, std::vector<uint64_t>(groups + 1, kInfinite));
  std::vector<std::vector<uint32_t>> from(most + 1, std::vector<uint32_t>(groups + 1, 0));
  best[0][0] = 0;
  for (uint32_t c = 1; c <= most; c++)
    for (uint32_t b = 1; b <= groups; b++)
      for (uint32_t a = 0; a < b; a++)
        if (best[c - 1][a] < kInfinite && best[c - 1][a] + cost[a][b] < best[c][b])
          best[c][b] = best[c - 1][a] + cost[a][b], from[c][b] = a;
  uint32_t classes = 1;
  for (uint32_t c = 2; c <= most; c++)
    if (best[c][groups] < best[classes][groups]) classes = c;
  if (classes == 1 || (best[classes][groups] >> 16) * n / total / 8 >= limit) return false;

  std::array<uint8_t, kMaxGroups> class_of_group{};
  for (uint32_t c = classes, b = groups; c > 0; b = from[c][b], c--)
    for (uint32_t g = from[c][b]; g < b; g++) class_of_group[g] = static_cast<uint8_t>(c - 1);
  for (uint32_t v = 0; v < 256; v++) model.class_of[v] = class_of_group[group[v]];
  std::vector<Counts> counts(classes);
  for (Counts& c : counts) c.fill(0);
  each_run([&](uint64_t at, uint64_t run) {
    for (uint64_t i = at; i < at + run; i++) counts[model.class_of[context[i]]][symbols[i]]++;
  });
  model.lanes = n < kManySymbols || options.small ? 64 : 128;
  model.segment_ends.clear();
  model.tables.assign(classes, {});
  model.estimate = kHeaderBytes + 2 * model.lanes + 128;
  for (uint32_t c = 0; c < classes; c++) {
    uint64_t of_class = 0;
    for (uint32_t v = 0; v < 256; v++) of_class += counts[c][v];
    model.estimate += make_table(counts[c], of_class, options.max_table, 1, model.tables[c]) * n / total;
  }
  return model.estimate < limit;
}

RansClasses RansModel::classes() const {
  RansClasses c;
  c.tables = tables.data(), c.count = static_cast<uint32_t>(tables.size());
  std::memcpy(c.class_of, class_of, sizeof c.class_of);
  return c;
}

}  // namespace mithril
