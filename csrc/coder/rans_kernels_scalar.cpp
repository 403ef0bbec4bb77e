// The meaning of the rans kernels, symbol by symbol. The loops with classes serve the narrower instruction sets, too.
#include "csrc/coder/rans_kernels.h"

namespace mithril::scalar {

namespace {

struct Entry {
  uint32_t reciprocal;  // exact for 16 bits: ceil(2^24 / frequency)
  uint8_t frequency, low_ranks, low_start, high_start;
};

struct Entries {
  Entry of[kRansMaxTable];
  const uint8_t* index_of_value;
  uint32_t escape;

  void fill(const RansTable& t) {
    index_of_value = t.index_of_value, escape = t.size - 1;
    for (uint32_t k = 0; k < t.size; k++)
      of[k] = {((1u << 24) + t.frequency[k] - 1) / t.frequency[k], t.frequency[k], t.low_ranks[k], t.low_start[k],
               t.high_start[k]};
  }
  // Returns the state after the symbol.
  inline __attribute__((always_inline)) uint32_t encode(uint8_t symbol, uint32_t x, uint8_t*& bytes,
                                                        uint8_t*& escapes) const {
    uint32_t k = index_of_value[symbol];
    if (k == escape) *--escapes = symbol;
    const Entry& e = of[k];
    uint32_t full = x / 256 >= e.frequency;  // a branch here would be mispredicted
    bytes[-1] = static_cast<uint8_t>(x);
    bytes -= full;
    uint32_t y = x >> 8 * full;
    auto quotient = static_cast<uint32_t>(uint64_t{y} * e.reciprocal >> 24);
    uint32_t rank = y - quotient * e.frequency;
    uint32_t lower = rank < e.low_ranks;  // here, too
    uint32_t start = e.high_start ^ ((e.low_start ^ e.high_start) & (0 - lower));
    return quotient * 256 + ((rank + start) & 255);
  }
};

struct Slots {
  struct Slot {
    uint8_t frequency, rank, value, is_escape;
  } of[256];

  void fill(const RansTable& t) {
    for (uint32_t s = 0; s < 256; s++) {
      uint32_t k = t.index_of_slot[s];
      of[s] = {t.frequency[k], static_cast<uint8_t>(s - (s < 128 ? t.low_start : t.high_start)[k]), t.value[k],
               k == t.size - 1};
    }
  }
  inline __attribute__((always_inline)) uint8_t decode(uint32_t& x, const uint8_t*& bytes,
                                                       const uint8_t*& escapes) const {
    Slot slot = of[x & 255];
    uint32_t y = slot.frequency * (x >> 8) + slot.rank;
    uint32_t empty = y < 256;  // a branch here would be mispredicted
    x = y << 8 * empty | (*bytes & (0 - empty));
    bytes += empty;
    return __builtin_expect(slot.is_escape, 0) ? *escapes++ : slot.value;
  }
};

struct Lanes {
  uint32_t x[kRansMaxLanes];
  Lanes(const RansStates& s, uint32_t lanes) {
    for (uint32_t i = 0; i < lanes; i++) x[i] = s.high[i] * 256u + s.low[i];
  }
  void store(RansStates& s, uint32_t lanes) const {
    for (uint32_t i = 0; i < lanes; i++)
      s.high[i] = static_cast<uint8_t>(x[i] >> 8), s.low[i] = static_cast<uint8_t>(x[i]);
  }
};

// choose(i) gives the entries, or slots, for the symbol at i.
template <class Choose>
void encode_rows(const Choose& choose, uint32_t lanes, const uint8_t* symbols, size_t rows, RansEncoder& encoder) {
  Lanes state(encoder.states, lanes);
  uint8_t *bytes = encoder.bytes, *escapes = encoder.escapes;
  for (size_t row = rows * lanes; row > 0;) {
    row -= lanes;
    for (uint32_t i = lanes; i-- > 0;)
      state.x[i] = choose(row + i).encode(symbols[row + i], state.x[i], bytes, escapes);
  }
  state.store(encoder.states, lanes);
  encoder.bytes = bytes, encoder.escapes = escapes;
}

template <class Choose>
size_t decode_rows(const Choose& choose, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder& decoder) {
  Lanes state(decoder.states, lanes);
  const uint8_t *bytes = decoder.bytes, *escapes = decoder.escapes;
  size_t row = 0;
  for (; row < rows && bytes <= decoder.bytes_limit && escapes <= decoder.escapes_limit; row++)
    for (uint32_t i = 0; i < lanes; i++)
      symbols[row * lanes + i] = choose(row * lanes + i).decode(state.x[i], bytes, escapes);
  state.store(decoder.states, lanes);
  decoder.bytes = bytes, decoder.escapes = escapes;
  return row;
}

void encode(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows,
            RansEncoder& encoder) noexcept {
  Entries entries;
  entries.fill(table);
  encode_rows([&](size_t) -> const Entries& { return entries; }, lanes, symbols, rows, encoder);
}

size_t decode(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder& decoder) noexcept {
  Slots slots;
  slots.fill(table);
  return decode_rows([&](size_t) -> const Slots& { return slots; }, lanes, symbols, rows, decoder);
}

}  // namespace

void encode_classes(const RansClasses& classes, uint32_t lanes, const uint8_t* symbols, const uint8_t* context,
                    size_t rows, RansEncoder& encoder) noexcept {
  Entries entries[kRansMaxClasses];
  for (uint32_t c = 0; c < classes.count; c++) entries[c].fill(classes.tables[c]);
  encode_rows([&](size_t i) -> const Entries& { return entries[classes.class_of[context[i]]]; }, lanes, symbols, rows,
              encoder);
}

size_t decode_classes(const RansClasses& classes, uint32_t lanes, uint8_t* symbols, const uint8_t* context, size_t rows,
                      RansDecoder& decoder) noexcept {
  Slots slots[kRansMaxClasses];
  for (uint32_t c = 0; c < classes.count; c++) slots[c].fill(classes.tables[c]);
  return decode_rows([&](size_t i) -> const Slots& { return slots[classes.class_of[context[i]]]; }, lanes, symbols,
                     rows, decoder);
}

extern const RansKernels kRansKernels;
const RansKernels kRansKernels = {encode, decode, encode_classes, decode_classes};

}  // namespace mithril::scalar
