// The meaning of the rans kernels, symbol by symbol.
#include "csrc/coder/rans_kernels.h"

namespace mithril::scalar {

static void encode(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows,
                   RansEncoder& encoder) noexcept {
  struct Entry {
    uint32_t reciprocal;  // exact for 16 bits: ceil(2^24 / frequency)
    uint32_t frequency, start;
  } entries[kRansMaxTable];
  for (uint32_t k = 0; k < table.size; k++)
    entries[k] = {((1u << 24) + table.frequency[k] - 1) / table.frequency[k], table.frequency[k], table.start[k]};
  uint32_t x[kRansMaxLanes];
  for (uint32_t i = 0; i < lanes; i++) x[i] = encoder.states.high[i] * 256u + encoder.states.low[i];
  uint8_t *bytes = encoder.bytes, *escapes = encoder.escapes;
  for (const uint8_t* row = symbols + rows * lanes; row != symbols;) {
    row -= lanes;
    for (uint32_t i = lanes; i-- > 0;) {
      uint32_t k = table.index_of_value[row[i]];
      if (k == table.size - 1) *--escapes = row[i];
      const Entry& e = entries[k];
      uint32_t full = x[i] / 256 >= e.frequency;  // a branch here would be mispredicted
      bytes[-1] = static_cast<uint8_t>(x[i]);
      bytes -= full;
      uint32_t y = x[i] >> 8 * full;
      auto quotient = static_cast<uint32_t>(uint64_t{y} * e.reciprocal >> 24);
      x[i] = quotient * 256 + e.start + y - quotient * e.frequency;
    }
  }
  for (uint32_t i = 0; i < lanes; i++) {
    encoder.states.high[i] = static_cast<uint8_t>(x[i] >> 8);
    encoder.states.low[i] = static_cast<uint8_t>(x[i]);
  }
  encoder.bytes = bytes, encoder.escapes = escapes;
}

static size_t decode(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows,
                     RansDecoder& decoder) noexcept {
  struct Slot {
    uint8_t frequency, offset, value, is_escape;
  } slots[256];
  for (uint32_t s = 0; s < 256; s++) {
    uint32_t k = table.index_of_slot[s];
    slots[s] = {table.frequency[k], static_cast<uint8_t>(s - table.start[k]), table.value[k], k == table.size - 1};
  }
  uint32_t x[kRansMaxLanes];
  for (uint32_t i = 0; i < lanes; i++) x[i] = decoder.states.high[i] * 256u + decoder.states.low[i];
  const uint8_t *bytes = decoder.bytes, *escapes = decoder.escapes;
  size_t row = 0;
  for (; row < rows && bytes <= decoder.bytes_limit && escapes <= decoder.escapes_limit; row++, symbols += lanes)
    for (uint32_t i = 0; i < lanes; i++) {
      Slot slot = slots[x[i] & 255];
      symbols[i] = slot.value;
      if (__builtin_expect(slot.is_escape, 0)) symbols[i] = *escapes++;
      uint32_t y = slot.frequency * (x[i] >> 8) + slot.offset;
      uint32_t empty = y < 256;  // a branch here would be mispredicted
      x[i] = y << 8 * empty | (*bytes & (0 - empty));
      bytes += empty;
    }
  for (uint32_t i = 0; i < lanes; i++) {
    decoder.states.high[i] = static_cast<uint8_t>(x[i] >> 8);
    decoder.states.low[i] = static_cast<uint8_t>(x[i]);
  }
  decoder.bytes = bytes, decoder.escapes = escapes;
  return row;
}

extern const RansKernels kRansKernels;
const RansKernels kRansKernels = {encode, decode};

}  // namespace mithril::scalar
