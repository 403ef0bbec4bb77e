// Rows of rans in registers of 16 or 32 bytes, included by rans_rows_<isa>.h. As with AVX-512, but look-ups go through
// shuffles of 16 bytes, and bytes are packed and spread eight at a time.

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

inline V at_least(V a, V b) { return equal8(max8(a, b), a); }  // unsigned bytes

// Bytes of v within a page of 16 as 0x70 to 0x7f, others as 0x80 and more, which a shuffle turns to zero.
inline V in_page(V v, V page) { return saturating_add8(v ^ page, bytes_of(0x70)); }

// An index below 16, 32 or 64, prepared for look-ups: where bytes can be selected by their top bits, bits 4 and 5 on
// top; else the index in each page.
template <int Size, bool Selects = kSelects>
struct Index {
  V i, odd, upper;
  explicit Index(V index) : i(index) {
    if (Size > 16) odd = left16<3>(index);
    if (Size > 32) upper = left16<2>(index);
  }
};
template <int Size>
struct Index<Size, false> {
  V in[Size / 16];
  explicit Index(V index) {
    in[0] = Size > 16 ? saturating_add8(index, bytes_of(0x70)) : index;
    for (uint32_t j = 1; j < Size / 16; j++) in[j] = in_page(index, bytes_of(16 * j));
  }
};

template <int Size>
struct Table {
  V t[Size / 16];
  explicit Table(const uint8_t* p) {
    for (int j = 0; j < Size / 16; j++) t[j] = load16(p + 16 * j);
  }
  V operator[](const Index<Size, true>& k) const {
    V v = shuffle(t[0], k.i);
    if constexpr (Size > 16) v = select(v, shuffle(t[1], k.i), k.odd);
    if constexpr (Size > 32) v = select(v, select(shuffle(t[2], k.i), shuffle(t[3], k.i), k.odd), k.upper);
    return v;
  }
  V operator[](const Index<Size, false>& k) const {
    V v = shuffle(t[0], k.in[0]);
    for (int j = 1; j < Size / 16; j++) v |= shuffle(t[j], k.in[j]);
    return v;
  }
};

// What differs between the lower and the upper half of the slots, where `upper` has the top bit, or all, of each byte.
template <int Size>
struct Starts {
  Table<Size> low, high;
  Starts(const RansTable& t) : low(t.low_start), high(t.high_start) {
    for (int j = 0; j < Size / 16 && !kSelects; j++) high.t[j] ^= low.t[j];
  }
  V at(const Index<Size>& k, V upper) const {
    return kSelects ? select(low[k], high[k], upper) : low[k] ^ (high[k] & upper);
  }
};

// index_of_value: a shuffle for each 16 values that have an index. Entries are kept as differences to the escape, so
// that those that are not there are zero.
struct IndexOfValue {
  V table[16], page[16], escape;
  int pages = 0;
  explicit IndexOfValue(const RansTable& t) : escape(bytes_of(t.size - 1)) {
    for (uint32_t high = 0; high < 16; high++) {
      V indices = load16(t.index_of_value + 16 * high) ^ escape;
      if (!any(indices)) continue;
      table[pages] = indices, page[pages++] = bytes_of(16 * high);
    }
  }
  V operator[](V value) const {
    V k = escape;
    for (int i = 0; i < pages; i++) k ^= shuffle(table[i], in_page(value, page[i]));
    return k;
  }
};

// Where values lie side by side, their indices do, too.
struct IndexInRow {
  V first, escape;
  explicit IndexInRow(const RansTable& t) : first(bytes_of(t.value[0])), escape(bytes_of(t.size - 1)) {}
  V operator[](V value) const { return min8(sub8(value, first), escape); }
};

// The index of a slot, looked up by the slot turned left, where the entries lie together: within a cell of 16 the index
// mostly changes twice at most; the other cells have a shuffle each. Bytes are compared as signed ones.
struct IndexOfSlot {
  V base, last[2], table[16], page[16];
  int others = 0;
  explicit IndexOfSlot(const RansTable& t) {
    base = load16(t.cell_base);
    for (int i = 0; i < 2; i++) last[i] = load16(t.cell_last[i]) ^ bytes_of(0x80);
    for (; others < static_cast<int>(t.uneven_count); others++) {
      table[others] = load16(t.index_of_turn + 16 * t.uneven[others]);
      page[others] = bytes_of(uint32_t{t.uneven[others]} << 4);
    }
  }
  V at(V slot, V upper) const {  // upper: all bits of the slots from 128 on
    V turned = sub8(add8(slot, slot), upper), from = turned ^ bytes_of(0x80);
    V c = right16<4>(turned) & bytes_of(15);
    V k = sub8(shuffle(base, c), above8(from, shuffle(last[0], c)));
    k = sub8(k, above8(from, shuffle(last[1], c)));
    for (int i = 0; i < others; i++) k |= shuffle(table[i], in_page(turned, page[i]));
    return k;
  }
};

// The bytes of the even lanes as words, and those of the odd ones; and back.
inline V even(V x) { return x & words_of(0xff); }
inline V odd(V x) { return right16<8>(x); }
inline V low_bytes(V even, V odd) { return (even & words_of(0xff)) | left16<8>(odd); }
inline V high_bytes(V even, V odd) { return right16<8>(even) | (odd & ~words_of(0xff)); }

// x div f and x mod f for x < 256 f, by the reciprocal and one correction; the rest before it is below 2 f.
inline void divide(V x, V reciprocal, V f, V& quotient, V& rest) {
  V q = high_multiply16(x, reciprocal), r = sub16(x, multiply16(q, f));
  V less = above16(f, r);
  quotient = add16(q, add16(less, words_of(1)));
  rest = sub16(r, f & ~less);
}

// Rows from the last to the first; their symbols are what source(number of the first symbol, symbols) fills in, until
// it returns false. Returns how many rows were coded.
template <int Groups, int Size, class IndexOf, class Source>
size_t encode_rows(const RansTable& table, size_t rows, RansEncoder& encoder, const Source& source) {
  const IndexOf index_of_value(table);
  const Table<Size> frequency(table.frequency), low_ranks(table.low_ranks), reciprocal_low(table.reciprocal_low),
      reciprocal_high(table.reciprocal_high);
  const Starts<Size> start(table);
  V high[Groups], low[Groups];
  for (size_t g = 0; g < Groups; g++)
    high[g] = load(encoder.states.high + kWidth * g), low[g] = load(encoder.states.low + kWidth * g);
  uint8_t *bytes = encoder.bytes, *escapes = encoder.escapes;
  size_t done = 0;
  for (; done < rows; done++) {
    V symbols[Groups];
    if (!source((rows - done - 1) * kWidth * Groups, symbols)) break;
#pragma GCC unroll 4
    for (int g = Groups - 1; g >= 0; g--) {
      V symbol = symbols[g], index = index_of_value[symbol];
      if (uint32_t escaped = mask_of(equal8(index, index_of_value.escape)))
        escapes = put_before(escapes, escaped, symbol);
      const Index<Size> k(index);
      V f = frequency[k], rl = reciprocal_low[k], rh = reciprocal_high[k];
      V full = at_least(high[g], f);
      bytes = put_before(bytes, mask_of(full), low[g]);
      V l = select(low[g], high[g], full), h = high[g] & ~full;
      V quotient[2], rest[2];
      divide(unpack_low8(l, h), unpack_low8(rl, rh), unpack_low8(f, V{}), quotient[0], rest[0]);
      divide(unpack_high8(l, h), unpack_high8(rl, rh), unpack_high8(f, V{}), quotient[1], rest[1]);
      high[g] = pack8(quotient[0], quotient[1]);
      V rank = pack8(rest[0], rest[1]);
      low[g] = add8(rank, start.at(k, at_least(rank, low_ranks[k])));
    }
  }
  for (size_t g = 0; g < Groups; g++)
    store(encoder.states.high + kWidth * g, high[g]), store(encoder.states.low + kWidth * g, low[g]);
  encoder.bytes = bytes, encoder.escapes = escapes;
  return done;
}

// The bytes of f · high + rank: in words of pairs of bytes while f is below 128, else of the even and the odd lanes.
template <bool SmallFrequencies>
inline void advance(V f, V high, V rank, V& new_high, V& new_low) {
  if constexpr (SmallFrequencies) {
    const V one = bytes_of(1);
    V a = multiply_add8(unpack_low8(high, one), unpack_low8(f, rank));
    V b = multiply_add8(unpack_high8(high, one), unpack_high8(f, rank));
    new_low = pack8(even(a), even(b)), new_high = pack8(odd(a), odd(b));
  } else {
    V a = add16(multiply16(even(f), even(high)), even(rank));
    V b = add16(multiply16(odd(f), odd(high)), odd(rank));
    new_low = low_bytes(a, b), new_high = high_bytes(a, b);
  }
}

// Hands symbols to sink(number of the first one, symbols), a register at a time.
template <int Groups, int Size, bool Contiguous, bool SmallFrequencies, class Sink>
size_t decode_rows(const RansTable& table, size_t rows, RansDecoder& decoder, const Sink& sink) {
  const IndexOfSlot index_of_slot(table);
  const Table<Size> frequency(table.frequency), value(table.value);
  const Starts<Size> start(table);
  const V escape = bytes_of(table.size - 1), first_value = bytes_of(table.value[0]);
  V high[Groups], low[Groups];
  for (size_t g = 0; g < Groups; g++)
    high[g] = load(decoder.states.high + kWidth * g), low[g] = load(decoder.states.low + kWidth * g);
  const uint8_t *bytes = decoder.bytes, *bytes_limit = decoder.bytes_limit;
  const uint8_t *escapes = decoder.escapes, *escapes_limit = decoder.escapes_limit;
  size_t row = 0;
  for (; row < rows && bytes <= bytes_limit && escapes <= escapes_limit; row++) {
#pragma GCC unroll 4
    for (size_t g = 0; g < Groups; g++) {
      V upper = above8(V{}, low[g]), index = index_of_slot.at(low[g], upper), h, l;
      const Index<Size> k(index);
      V symbol = Contiguous ? add8(index, first_value) : value[k];
      advance<SmallFrequencies>(frequency[k], high[g], sub8(low[g], start.at(k, upper)), h, l);
      V empty = equal8(h, V{});
      high[g] = h | (l & empty);
      low[g] = (l & ~empty) | take(bytes, mask_of(empty));
      V is_escape = equal8(index, escape);
      if (uint32_t escaped = mask_of(is_escape)) symbol = (symbol & ~is_escape) | take(escapes, escaped);
      sink((row * Groups + g) * kWidth, symbol);
    }
  }
  for (size_t g = 0; g < Groups; g++)
    store(decoder.states.high + kWidth * g, high[g]), store(decoder.states.low + kWidth * g, low[g]);
  decoder.bytes = bytes, decoder.escapes = escapes;
  return row;
}

template <int Groups, int Size, class Source>
size_t encode_sized(const RansTable& table, size_t rows, RansEncoder& encoder, const Source& source) {
  return table.contiguous ? encode_rows<Groups, Size, IndexInRow>(table, rows, encoder, source)
                          : encode_rows<Groups, Size, IndexOfValue>(table, rows, encoder, source);
}

template <int Groups, class Source>
size_t encode_grouped(const RansTable& table, size_t rows, RansEncoder& encoder, const Source& source) {
  if (table.size <= 16) return encode_sized<Groups, 16>(table, rows, encoder, source);
  if (table.size <= 32) return encode_sized<Groups, 32>(table, rows, encoder, source);
  return encode_sized<Groups, 64>(table, rows, encoder, source);
}

template <class Source>
size_t encode_with(const RansTable& table, uint32_t lanes, size_t rows, RansEncoder& encoder, const Source& source) {
  return lanes == 64 ? encode_grouped<64 / kWidth>(table, rows, encoder, source)
                     : encode_grouped<128 / kWidth>(table, rows, encoder, source);
}

template <int Groups, int Size, class Sink>
size_t decode_sized(const RansTable& table, size_t rows, RansDecoder& decoder, const Sink& sink) {
  if (!table.small_frequencies) return decode_rows<Groups, Size, false, false>(table, rows, decoder, sink);
  return table.contiguous ? decode_rows<Groups, Size, true, true>(table, rows, decoder, sink)
                          : decode_rows<Groups, Size, false, true>(table, rows, decoder, sink);
}

template <int Groups, class Sink>
size_t decode_grouped(const RansTable& table, size_t rows, RansDecoder& decoder, const Sink& sink) {
  if (table.size <= 16) return decode_sized<Groups, 16>(table, rows, decoder, sink);
  if (table.size <= 32) return decode_sized<Groups, 32>(table, rows, decoder, sink);
  return decode_sized<Groups, 64>(table, rows, decoder, sink);
}

template <class Sink>
size_t decode_with(const RansTable& table, uint32_t lanes, size_t rows, RansDecoder& decoder, const Sink& sink) {
  return lanes == 64 ? decode_grouped<64 / kWidth>(table, rows, decoder, sink)
                     : decode_grouped<128 / kWidth>(table, rows, decoder, sink);
}

}  // namespace

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
