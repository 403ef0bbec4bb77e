// Rows of rans with AVX-512, for loops that take symbols from anywhere and hand them to anything: included under the
// target of such a file.
//
// 64 lanes in a pair of registers: the high bytes of their states, and the low ones. A slot is a low byte, so every
// look-up is a byte shuffle; products are taken in 16 bits, first of the even lanes, then of the odd ones.
#pragma once
#include "csrc/base/simd_avx512.h"
#include "csrc/coder/rans_kernels.h"

namespace mithril::avx512 {

namespace {

inline int count(__mmask64 m) { return __builtin_popcountll(m); }

// Looks up in 256 bytes; `upper` names the indices from 128 on.
struct Table256 {
  V t[4];
  explicit Table256(const uint8_t* p) : t{load(p), load(p + 64), load(p + 128), load(p + 192)} {}
  V at(V i, __mmask64 upper) const {
    V low = _mm512_permutex2var_epi8(t[0], i, t[1]), high = _mm512_permutex2var_epi8(t[2], i, t[3]);
    return _mm512_mask_mov_epi8(low, upper, high);
  }
  V operator[](V i) const { return at(i, _mm512_movepi8_mask(i)); }
};

// Looks up in 64 bytes.
struct Table {
  V t;
  explicit Table(const uint8_t* p) : t(load(p)) {}
  V operator[](V i) const { return _mm512_permutexvar_epi8(i, t); }
};

// What the symbols of a register need of their tables. Lookup fills it from one table, ClassLookup from several.
struct ToEncode {
  V frequency, low_ranks, low_start, high_start, reciprocal_low, reciprocal_high;
  __mmask64 escaped;
};
struct ToDecode {
  V frequency, start, value;
  __mmask64 escaped;
};

// Where values lie side by side, their indices do, too.
struct IndexOfValue {
  V first, escape;
  explicit IndexOfValue(const RansTable& t) : first(bytes_of(t.value[0])), escape(bytes_of(t.size - 1)) {}
  V operator[](V value) const { return _mm512_min_epu8(_mm512_sub_epi8(value, first), escape); }
};

template <class Index>
class EncodeTable {
 public:
  EncodeTable(const RansTable& t, const Index& index_of_value)
      : index_of_value_(index_of_value),
        frequency_(t.frequency),
        low_ranks_(t.low_ranks),
        low_start_(t.low_start),
        high_start_(t.high_start),
        reciprocal_low_(t.reciprocal_low),
        reciprocal_high_(t.reciprocal_high),
        escape_(bytes_of(t.size - 1)) {}
  ToEncode find(V symbol, const uint8_t*, size_t) const {
    V k = index_of_value_[symbol];
    return {frequency_[k],
            low_ranks_[k],
            low_start_[k],
            high_start_[k],
            reciprocal_low_[k],
            reciprocal_high_[k],
            _mm512_cmpeq_epi8_mask(k, escape_)};
  }

 private:
  Index index_of_value_;
  Table frequency_, low_ranks_, low_start_, high_start_, reciprocal_low_, reciprocal_high_;
  V escape_;
};

class DecodeTable {
 public:
  explicit DecodeTable(const RansTable& t)
      : index_of_slot_(t.index_of_slot),
        frequency_(t.frequency),
        low_start_(t.low_start),
        high_start_(t.high_start),
        value_(t.value),
        escape_(bytes_of(t.size - 1)) {}
  ToDecode find(V slot, const uint8_t*, size_t) const {
    __mmask64 upper = _mm512_movepi8_mask(slot);
    V k = index_of_slot_.at(slot, upper);
    return {frequency_[k], _mm512_mask_mov_epi8(low_start_[k], upper, high_start_[k]), value_[k],
            _mm512_cmpeq_epi8_mask(k, escape_)};
  }

 private:
  Table256 index_of_slot_;
  Table frequency_, low_start_, high_start_, value_;
  V escape_;
};

// Goes through the tables of all classes, each for the lanes that are of its class.
class EncodeClasses {
 public:
  explicit EncodeClasses(const RansClasses& c) : classes_(c), class_of_(c.class_of) {}
  ToEncode find(V symbol, const uint8_t* context, size_t at) const {
    V of = class_of_[load(context + at)];
    ToEncode all = one_of(0, symbol);
    for (uint32_t c = 1; c < classes_.count; c++) {
      __mmask64 m = _mm512_cmpeq_epi8_mask(of, bytes_of(c));
      ToEncode one = one_of(c, symbol);
      all.frequency = _mm512_mask_mov_epi8(all.frequency, m, one.frequency);
      all.low_ranks = _mm512_mask_mov_epi8(all.low_ranks, m, one.low_ranks);
      all.low_start = _mm512_mask_mov_epi8(all.low_start, m, one.low_start);
      all.high_start = _mm512_mask_mov_epi8(all.high_start, m, one.high_start);
      all.reciprocal_low = _mm512_mask_mov_epi8(all.reciprocal_low, m, one.reciprocal_low);
      all.reciprocal_high = _mm512_mask_mov_epi8(all.reciprocal_high, m, one.reciprocal_high);
      all.escaped = (all.escaped & ~m) | (one.escaped & m);
    }
    return all;
  }

 private:
  ToEncode one_of(uint32_t c, V symbol) const {
    const RansTable& table = classes_.tables[c];
    return EncodeTable<Table256>(table, Table256(table.index_of_value)).find(symbol, nullptr, 0);
  }
  const RansClasses& classes_;
  Table256 class_of_;
};

class DecodeClasses {
 public:
  explicit DecodeClasses(const RansClasses& c) : classes_(c), class_of_(c.class_of) {}
  ToDecode find(V slot, const uint8_t* context, size_t at) const {
    V of = class_of_[load(context + at)];
    ToDecode all = DecodeTable(classes_.tables[0]).find(slot, nullptr, 0);
    for (uint32_t c = 1; c < classes_.count; c++) {
      __mmask64 m = _mm512_cmpeq_epi8_mask(of, bytes_of(c));
      ToDecode one = DecodeTable(classes_.tables[c]).find(slot, nullptr, 0);
      all.frequency = _mm512_mask_mov_epi8(all.frequency, m, one.frequency);
      all.start = _mm512_mask_mov_epi8(all.start, m, one.start);
      all.value = _mm512_mask_mov_epi8(all.value, m, one.value);
      all.escaped = (all.escaped & ~m) | (one.escaped & m);
    }
    return all;
  }

 private:
  const RansClasses& classes_;
  Table256 class_of_;
};

// Bytes of `low` where the index is even, of `high` where it is odd.
inline V blend(V low, V high) { return _mm512_ternarylogic_epi32(words_of(0xff), low, high, 0xca); }
// The bytes of the even lanes as words, and those of the odd ones; and back.
inline V even(V x) { return _mm512_and_si512(x, words_of(0xff)); }
inline V odd(V x) { return _mm512_srli_epi16(x, 8); }
inline V low_bytes(V even, V odd) { return blend(even, _mm512_slli_epi16(odd, 8)); }
inline V high_bytes(V even, V odd) { return blend(_mm512_srli_epi16(even, 8), odd); }

struct Iota {
  alignas(64) uint8_t of[64] = {};
  constexpr Iota() {
    for (int i = 0; i < 64; i++) of[i] = static_cast<uint8_t>(i);
  }
};
constexpr Iota kIota;

// The bytes of v that m names, in front of p. A store of 64 bytes: those below are not written yet.
inline uint8_t* put_before(uint8_t* p, __mmask64 m, V v, V iota) {
  int n = count(m);
  V turned = _mm512_add_epi8(iota, bytes_of(static_cast<uint32_t>(n)));
  store(p - 64, _mm512_permutexvar_epi8(turned, _mm512_maskz_compress_epi8(m, v)));
  return p - n;
}

// x div f and x mod f for x < 256 f, by the reciprocal and one correction.
inline void divide(V x, V reciprocal, V f, V& quotient, V& rest) {
  V q = _mm512_mulhi_epu16(x, reciprocal), r = _mm512_sub_epi16(x, _mm512_mullo_epi16(q, f));
  __mmask32 more = _mm512_cmpge_epu16_mask(r, f);
  quotient = _mm512_mask_add_epi16(q, more, q, words_of(1));
  rest = _mm512_mask_sub_epi16(r, more, r, f);
}

// Rows from the last to the first; their symbols are what source(number of the first symbol, symbols) fills in, until
// it returns false. Returns how many rows were coded.
template <int Groups, class Lookup, class Source>
size_t encode_rows(const Lookup& lookup, const uint8_t* context, size_t rows, RansEncoder& encoder,
                   const Source& source) {
  const V iota = load(kIota.of);
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(encoder.states.high + 64 * g), low[g] = load(encoder.states.low + 64 * g);
  uint8_t *bytes = encoder.bytes, *escapes = encoder.escapes;
  size_t done = 0;
  for (; done < rows; done++) {
    size_t row = (rows - done - 1) * 64 * Groups;
    V symbols[Groups];
    if (!source(row, symbols)) break;
#pragma GCC unroll 2
    for (int g = Groups - 1; g >= 0; g--) {
      const ToEncode t = lookup.find(symbols[g], context, row + 64 * g);
      escapes = put_before(escapes, t.escaped, symbols[g], iota);
      __mmask64 full = _mm512_cmpge_epu8_mask(high[g], t.frequency);
      bytes = put_before(bytes, full, low[g], iota);
      V l = _mm512_mask_mov_epi8(low[g], full, high[g]), h = _mm512_maskz_mov_epi8(~full, high[g]);
      V quotient[2], rest[2];
      V rl = t.reciprocal_low, rh = t.reciprocal_high, f = t.frequency;
      divide(_mm512_unpacklo_epi8(l, h), _mm512_unpacklo_epi8(rl, rh), _mm512_unpacklo_epi8(f, V{}), quotient[0],
             rest[0]);
      divide(_mm512_unpackhi_epi8(l, h), _mm512_unpackhi_epi8(rl, rh), _mm512_unpackhi_epi8(f, V{}), quotient[1],
             rest[1]);
      high[g] = _mm512_packus_epi16(quotient[0], quotient[1]);
      V rank = _mm512_packus_epi16(rest[0], rest[1]);
      __mmask64 upper = _mm512_cmpge_epu8_mask(rank, t.low_ranks);
      low[g] = _mm512_add_epi8(rank, _mm512_mask_mov_epi8(t.low_start, upper, t.high_start));
    }
  }
  for (int g = 0; g < Groups; g++)
    store(encoder.states.high + 64 * g, high[g]), store(encoder.states.low + 64 * g, low[g]);
  encoder.bytes = bytes, encoder.escapes = escapes;
  return done;
}

// Hands symbols to sink(number of the first one, symbols), 64 at a time.
template <int Groups, class Lookup, class Sink>
size_t decode_rows(const Lookup& lookup, const uint8_t* context, size_t rows, RansDecoder& decoder, const Sink& sink) {
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(decoder.states.high + 64 * g), low[g] = load(decoder.states.low + 64 * g);
  const uint8_t *bytes = decoder.bytes, *bytes_limit = decoder.bytes_limit;
  const uint8_t *escapes = decoder.escapes, *escapes_limit = decoder.escapes_limit;
  size_t row = 0;
  for (; row < rows && bytes <= bytes_limit && escapes <= escapes_limit; row++) {
#pragma GCC unroll 2
    for (int g = 0; g < Groups; g++) {
      size_t at = (row * Groups + g) * 64;
      const ToDecode t = lookup.find(low[g], context, at);
      V rank = _mm512_sub_epi8(low[g], t.start), h = high[g];
      V x0 = _mm512_add_epi16(_mm512_mullo_epi16(even(t.frequency), even(h)), even(rank));
      V x1 = _mm512_add_epi16(_mm512_mullo_epi16(odd(t.frequency), odd(h)), odd(rank));
      V l = low_bytes(x0, x1);
      h = high_bytes(x0, x1);
      __mmask64 empty = _mm512_testn_epi8_mask(h, h);
      high[g] = _mm512_mask_mov_epi8(h, empty, l);
      low[g] = _mm512_mask_expand_epi8(l, empty, load(bytes));
      bytes += count(empty);
      sink(at, _mm512_mask_expand_epi8(t.value, t.escaped, load(escapes)));
      escapes += count(t.escaped);
    }
  }
  for (int g = 0; g < Groups; g++)
    store(decoder.states.high + 64 * g, high[g]), store(decoder.states.low + 64 * g, low[g]);
  decoder.bytes = bytes, decoder.escapes = escapes;
  return row;
}

// By one table, whose values may lie side by side.
template <class Source>
size_t encode_with(const RansTable& table, uint32_t lanes, size_t rows, RansEncoder& encoder, const Source& source) {
  auto with = [&](const auto& index_of_value) {
    const EncodeTable lookup(table, index_of_value);
    return lanes == 64 ? encode_rows<1>(lookup, nullptr, rows, encoder, source)
                       : encode_rows<2>(lookup, nullptr, rows, encoder, source);
  };
  return table.contiguous ? with(IndexOfValue(table)) : with(Table256(table.index_of_value));
}

template <class Sink>
size_t decode_with(const RansTable& table, uint32_t lanes, size_t rows, RansDecoder& decoder, const Sink& sink) {
  const DecodeTable lookup(table);
  return lanes == 64 ? decode_rows<1>(lookup, nullptr, rows, decoder, sink)
                     : decode_rows<2>(lookup, nullptr, rows, decoder, sink);
}

}  // namespace

}  // namespace mithril::avx512
