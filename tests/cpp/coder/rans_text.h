// The rans streams of docs/format.md 6.6 and 6.7 from the text alone: slow, and without the core's kernels.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "csrc/base/ids.h"
#include "tests/cpp/support/samples.h"

namespace mithril {

// The contexts of a plane: none, given, or what the lane coded before.
struct Contexts {
  const Bytes* given = nullptr;
  bool lane = false;
};

class TextReader {
 public:
  explicit TextReader(const Bytes& bytes) : bytes_(bytes) {}
  uint32_t integer(size_t width) {
    uint32_t x = 0;
    for (size_t k = 0; k < width; k++) x |= uint32_t{bytes_.at(at_++)} << 8 * k;
    return x;
  }
  Bytes bytes(size_t size) {
    if (size > bytes_.size() - at_) throw std::out_of_range("the stream is too short");
    at_ += size;
    return Bytes(&bytes_[at_ - size], &bytes_[at_ - size] + size);
  }
  size_t left() const { return bytes_.size() - at_; }

 private:
  const Bytes& bytes_;
  size_t at_ = 0;
};

struct TextTable {
  Bytes values, frequencies;  // none: a verbatim segment
  std::array<uint32_t, 256> entry{}, rank{};

  void deal(bool together) {
    std::array<uint32_t, 256> number{};
    for (uint32_t u = 0; u < 256; u++) number[together ? u : u % 2 ? 128 + u / 2 : u / 2] = u;
    std::vector<uint32_t> entry_of_number;
    for (uint32_t k = 0; k < frequencies.size(); k++) entry_of_number.insert(entry_of_number.end(), frequencies[k], k);
    ASSERT_EQ(entry_of_number.size(), 256u);
    std::vector<uint32_t> seen(frequencies.size());
    for (uint32_t slot = 0; slot < 256; slot++) {
      entry[slot] = entry_of_number[number[slot]];
      rank[slot] = seen[entry[slot]]++;
    }
  }
};

inline Bytes decode_by_the_text(Coder coder, const Bytes& stream, uint64_t n, Contexts contexts = {}) {
  TextReader r(stream);
  const bool old = coder == Coder::kRans;
  uint64_t lanes = r.integer(1), kind = 0, count = 1, old_size = 0;
  if (old)
    old_size = r.integer(1);
  else
    kind = r.integer(1), count = r.integer(1);
  EXPECT_EQ(r.integer(old ? 2 : 1), 0u) << "reserved";
  uint64_t escapes = r.integer(4), second_escapes = old ? 0 : r.integer(4), raw_escapes = r.integer(4);
  uint64_t rans_size = r.integer(4);
  std::vector<uint64_t> ends;
  Bytes classes;
  if (!old && kind == 0)
    for (uint64_t i = 0; i + 1 < count; i++) ends.push_back((ends.empty() ? 0 : ends.back()) + 1024 * r.integer(2));
  if (kind == 1) classes = r.bytes(128);
  ends.push_back(n);
  std::vector<TextTable> tables(count);
  for (TextTable& t : tables) {
    if (old) {
      t.values = r.bytes(old_size - 1);
      t.frequencies = r.bytes(old_size);
    } else {
      uint32_t first = r.integer(1);
      Bytes bitmap = r.bytes(r.integer(1));
      if (bitmap.empty()) continue;
      for (uint32_t bit = 0; bit < 8 * bitmap.size(); bit++)
        if (bitmap[bit / 8] >> bit % 8 & 1) t.values.push_back(static_cast<uint8_t>(first + bit));
      t.frequencies = r.bytes(t.values.size() + 1);
    }
    t.deal(old);
  }
  Bytes high = r.bytes(lanes), low = r.bytes(lanes);
  Bytes rare = r.bytes(escapes ? 15 : 0), nibbles = r.bytes((escapes + 1) / 2);
  Bytes second_rare = r.bytes(second_escapes ? 15 : 0), second_nibbles = r.bytes((second_escapes + 1) / 2);
  Bytes raw = r.bytes(raw_escapes);
  uint64_t in_full = 0, begin = 0;
  for (size_t i = 0; kind == 0 && i < count; begin = ends[i++])
    if (tables[i].frequencies.empty()) in_full += ends[i] - begin;
  Bytes verbatim = r.bytes(in_full), bytes = r.bytes(rans_size);
  EXPECT_EQ(r.left(), 0u);

  std::vector<uint32_t> x(lanes);
  for (size_t i = 0; i < lanes; i++) x[i] = 256 * high[i] + low[i];
  Bytes symbols;
  size_t escape = 0, second = 0, raw_escape = 0, byte = 0, taken = 0, segment = 0;
  auto next_escape = [&]() -> uint8_t {
    uint32_t v = nibbles.at(escape / 2) >> 4 * (escape % 2) & 15;
    escape++;
    if (v < 15) return rare[v];
    if (old) return raw.at(raw_escape++);
    v = second_nibbles.at(second / 2) >> 4 * (second % 2) & 15;
    second++;
    return v < 15 ? second_rare[v] : raw.at(raw_escape++);
  };
  auto is_verbatim = [&] { return kind == 0 && tables[segment].frequencies.empty(); };
  for (uint64_t j = 0; j < (n + lanes - 1) / lanes * lanes; j++) {
    while (kind == 0 && segment + 1 < count && j >= ends[segment]) segment++;
    if (is_verbatim()) {
      if (j < n) symbols.push_back(verbatim.at(taken++));
      continue;
    }
    uint8_t context = 0;
    if (kind == 1 && j < n) context = !contexts.lane ? contexts.given->at(j) : j < lanes ? 0 : symbols[j - lanes];
    const TextTable& t = tables[kind == 0 ? segment : classes[context / 2] >> 4 * (context % 2) & 15];
    uint32_t& state = x[j % lanes];
    uint32_t slot = state % 256, k = t.entry[slot];
    state = t.frequencies[k] * (state / 256) + t.rank[slot];
    if (state < 256) state = 256 * state + bytes.at(byte++);
    if (k < t.values.size()) {
      symbols.push_back(t.values[k]);
    } else {
      EXPECT_LT(j, n) << "padding is no escape";
      symbols.push_back(next_escape());
    }
  }
  for (uint32_t state : x) EXPECT_EQ(state, 256u);
  EXPECT_TRUE(escape == escapes && second == second_escapes && raw_escape == raw_escapes && byte == rans_size);
  EXPECT_EQ(taken, in_full);
  symbols.resize(n);
  return symbols;
}

// A stream of the coder rans, which the core only reads: as 6.6 says, with the first escapes rare and the others raw.
inline Bytes encode_rans_by_the_text(const Bytes& symbols, uint32_t lanes, const Bytes& values,
                                     const Bytes& frequencies) {
  std::vector<uint32_t> start(frequencies.size() + 1), x(lanes, 256);
  for (size_t k = 0; k < frequencies.size(); k++) start[k + 1] = start[k] + frequencies[k];
  Bytes bytes, escapes, rare, nibbles, raw;
  for (uint64_t j = (symbols.size() + lanes - 1) / lanes * lanes; j-- > 0;) {
    uint8_t symbol = j < symbols.size() ? symbols[j] : values[0];
    auto k = static_cast<size_t>(std::find(values.begin(), values.end(), symbol) - values.begin());
    if (k == values.size()) escapes.push_back(symbol);
    uint32_t &state = x[j % lanes], f = frequencies[k];
    if (state / 256 >= f) bytes.push_back(static_cast<uint8_t>(state)), state /= 256;
    state = 256 * (state / f) + start[k] + state % f;
  }
  std::reverse(escapes.begin(), escapes.end());
  std::reverse(bytes.begin(), bytes.end());
  for (size_t i = 0; i < escapes.size(); i++) {
    auto v = static_cast<size_t>(std::find(rare.begin(), rare.end(), escapes[i]) - rare.begin());
    if (v == rare.size() && v < 15) rare.push_back(escapes[i]);
    if (v >= 15) raw.push_back(escapes[i]);
    v = std::min<size_t>(v, 15);
    i % 2 ? static_cast<void>(nibbles.back() |= static_cast<uint8_t>(v << 4))
          : nibbles.push_back(static_cast<uint8_t>(v));
  }
  if (!escapes.empty()) rare.resize(15);
  Bytes out = {static_cast<uint8_t>(lanes), static_cast<uint8_t>(frequencies.size()), 0, 0};
  for (size_t count : {escapes.size(), raw.size(), bytes.size()})
    for (int k = 0; k < 4; k++) out.push_back(static_cast<uint8_t>(count >> 8 * k));
  Bytes high, low;
  for (uint32_t state : x)
    high.push_back(static_cast<uint8_t>(state / 256)), low.push_back(static_cast<uint8_t>(state));
  for (const Bytes& part : {values, frequencies, high, low, rare, nibbles, raw, bytes})
    out.insert(out.end(), part.begin(), part.end());
  return out;
}

}  // namespace mithril
