// The rans kernels for registers V of 16 or 32 bytes, included under the target and in the namespace of an instruction
// set, which has defined V, kWidth and the small operations below. As with AVX-512, but look-ups go through shuffles of
// 16 bytes, and bytes are packed and spread eight at a time.
//
//   load store load16 (16 bytes, repeated) bytes_of words_of add8 sub8 saturating_add8 max8 min8 equal8 above8 (signed)
//   add16 sub16 multiply16 high_multiply16 above16 (signed) left16<n> right16<n> shuffle select(if_clear, if_set, mask)
//   mask_of any put_before take

namespace mithril::scalar {
void encode_classes(const RansClasses&, uint32_t, const uint8_t*, const uint8_t*, size_t, RansEncoder&) noexcept;
size_t decode_classes(const RansClasses&, uint32_t, uint8_t*, const uint8_t*, size_t, RansDecoder&) noexcept;
}  // namespace mithril::scalar

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

inline V at_least(V a, V b) { return equal8(max8(a, b), a); }  // unsigned bytes

// An index below 16, 32 or 64, prepared for look-ups.
template <int Size>
struct Index {
  V i, odd, upper;
  explicit Index(V index) : i(index) {
    if (Size > 16) odd = left16<3>(index);    // bit 4 on top
    if (Size > 32) upper = left16<2>(index);  // bit 5 on top
    if (kWidth == 16 && Size > 16) odd = above8(V{}, odd);
    if (kWidth == 16 && Size > 32) upper = above8(V{}, upper);
  }
};

template <int Size>
struct Table {
  V t[Size / 16];
  explicit Table(const uint8_t* p) {
    for (int j = 0; j < Size / 16; j++) t[j] = load16(p + 16 * j);
  }
  V operator[](const Index<Size>& k) const {
    V v = shuffle(t[0], k.i);
    if constexpr (Size > 16) v = select(v, shuffle(t[1], k.i), k.odd);
    if constexpr (Size > 32) v = select(v, select(shuffle(t[2], k.i), shuffle(t[3], k.i), k.odd), k.upper);
    return v;
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
    for (int i = 0; i < pages; i++)
      // 0x70 to 0x7f within the page, above it 0x80 and more, which a shuffle turns to zero.
      k ^= shuffle(table[i], saturating_add8(value ^ page[i], bytes_of(0x70)));
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
// mostly changes once at most, after `last`; the other cells have a shuffle each.
struct IndexOfSlot {
  V base, last, table[16], cell[16];
  int others = 0;
  explicit IndexOfSlot(const RansTable& t) {
    base = load16(t.cell_base), last = load16(t.cell_last);
    for (; others < static_cast<int>(t.uneven_count); others++) {
      table[others] = load16(t.index_of_turn + 16 * t.uneven[others]);
      cell[others] = bytes_of(t.uneven[others]);
    }
  }
  V operator[](V slot) const {
    V turned = add8(slot, slot) | (right16<7>(slot) & bytes_of(1));
    V c = right16<4>(turned) & bytes_of(15);
    V k = add8(shuffle(base, c), at_least(shuffle(last, c), turned));
    V within = turned & bytes_of(15);
    for (int i = 0; i < others; i++) {
      V here = equal8(c, cell[i]);
      k = select(k, shuffle(table[i], within), here);
    }
    return k;
  }
};

// The words 256 · high + low of the even lanes, and of the odd ones; and back.
inline V even(V x) { return x & words_of(0xff); }
inline V odd(V x) { return right16<8>(x); }
inline V even(V high, V low) { return even(low) | left16<8>(high); }
inline V odd(V high, V low) { return odd(low) | (high & ~words_of(0xff)); }
inline V low_bytes(V even, V odd) { return (even & words_of(0xff)) | left16<8>(odd); }
inline V high_bytes(V even, V odd) { return right16<8>(even) | (odd & ~words_of(0xff)); }

// x div f and x mod f for x < 256 f, by the reciprocal and one correction; the rest before it is below 2 f.
inline void divide(V x, V reciprocal, V f, V& quotient, V& rest) {
  V q = high_multiply16(x, reciprocal), r = sub16(x, multiply16(q, f));
  V less = above16(f, r);
  quotient = add16(q, add16(less, words_of(1)));
  rest = sub16(r, f & ~less);
}

template <int Groups, int Size, class IndexOf>
void encode_rows(const RansTable& table, const uint8_t* symbols, size_t rows, RansEncoder& encoder) {
  const IndexOf index_of_value(table);
  const Table<Size> frequency(table.frequency), low_ranks(table.low_ranks), low_start(table.low_start),
      high_start(table.high_start), reciprocal_low(table.reciprocal_low), reciprocal_high(table.reciprocal_high);
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(encoder.states.high + kWidth * g), low[g] = load(encoder.states.low + kWidth * g);
  uint8_t *bytes = encoder.bytes, *escapes = encoder.escapes;
  for (const uint8_t* row = symbols + rows * kWidth * Groups; row != symbols;) {
    row -= kWidth * Groups;
#pragma GCC unroll 4
    for (int g = Groups - 1; g >= 0; g--) {
      V symbol = load(row + kWidth * g), index = index_of_value[symbol];
      if (uint32_t escaped = mask_of(equal8(index, index_of_value.escape)))
        escapes = put_before(escapes, escaped, symbol);
      const Index<Size> k(index);
      V f = frequency[k], rl = reciprocal_low[k], rh = reciprocal_high[k];
      V full = at_least(high[g], f);
      bytes = put_before(bytes, mask_of(full), low[g]);
      V l = select(low[g], high[g], full), h = high[g] & ~full;
      V quotient[2], rest[2];
      divide(even(h, l), even(rh, rl), even(f), quotient[0], rest[0]);
      divide(odd(h, l), odd(rh, rl), odd(f), quotient[1], rest[1]);
      high[g] = quotient[0] | left16<8>(quotient[1]);
      V rank = rest[0] | left16<8>(rest[1]);
      V upper = at_least(rank, low_ranks[k]);
      low[g] = add8(rank, select(low_start[k], high_start[k], upper));
    }
  }
  for (int g = 0; g < Groups; g++)
    store(encoder.states.high + kWidth * g, high[g]), store(encoder.states.low + kWidth * g, low[g]);
  encoder.bytes = bytes, encoder.escapes = escapes;
}

template <int Groups, int Size, bool Contiguous>
size_t decode_rows(const RansTable& table, uint8_t* symbols, size_t rows, RansDecoder& decoder) {
  const IndexOfSlot index_of_slot(table);
  const Table<Size> frequency(table.frequency), low_start(table.low_start), high_start(table.high_start),
      value(table.value);
  const V escape = bytes_of(table.size - 1), first_value = bytes_of(table.value[0]);
  V high[Groups], low[Groups];
  for (int g = 0; g < Groups; g++)
    high[g] = load(decoder.states.high + kWidth * g), low[g] = load(decoder.states.low + kWidth * g);
  const uint8_t *bytes = decoder.bytes, *bytes_limit = decoder.bytes_limit;
  const uint8_t *escapes = decoder.escapes, *escapes_limit = decoder.escapes_limit;
  size_t row = 0;
  for (; row < rows && bytes <= bytes_limit && escapes <= escapes_limit; row++, symbols += kWidth * Groups) {
#pragma GCC unroll 4
    for (int g = 0; g < Groups; g++) {
      V index = index_of_slot[low[g]], upper = above8(V{}, low[g]), h = high[g];
      const Index<Size> k(index);
      V f = frequency[k], symbol = Contiguous ? add8(index, first_value) : value[k];
      V rank = sub8(low[g], select(low_start[k], high_start[k], upper));
      V x0 = add16(multiply16(even(f), even(h)), even(rank));
      V x1 = add16(multiply16(odd(f), odd(h)), odd(rank));
      V l = low_bytes(x0, x1);
      h = high_bytes(x0, x1);
      V empty = equal8(h, V{});
      high[g] = select(h, l, empty);
      low[g] = select(l, take(bytes, mask_of(empty)), empty);
      V is_escape = equal8(index, escape);
      if (uint32_t escaped = mask_of(is_escape)) symbol = select(symbol, take(escapes, escaped), is_escape);
      store(symbols + kWidth * g, symbol);
    }
  }
  for (int g = 0; g < Groups; g++)
    store(decoder.states.high + kWidth * g, high[g]), store(decoder.states.low + kWidth * g, low[g]);
  decoder.bytes = bytes, decoder.escapes = escapes;
  return row;
}

template <int Groups, int Size>
void encode_grouped(const RansTable& table, const uint8_t* symbols, size_t rows, RansEncoder& encoder) {
  return table.contiguous ? encode_rows<Groups, Size, IndexInRow>(table, symbols, rows, encoder)
                          : encode_rows<Groups, Size, IndexOfValue>(table, symbols, rows, encoder);
}

template <int Size>
void encode_sized(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows, RansEncoder& encoder) {
  return lanes == 64 ? encode_grouped<64 / kWidth, Size>(table, symbols, rows, encoder)
                     : encode_grouped<128 / kWidth, Size>(table, symbols, rows, encoder);
}

template <int Groups, int Size>
size_t decode_grouped(const RansTable& table, uint8_t* symbols, size_t rows, RansDecoder& decoder) {
  return table.contiguous ? decode_rows<Groups, Size, true>(table, symbols, rows, decoder)
                          : decode_rows<Groups, Size, false>(table, symbols, rows, decoder);
}

template <int Size>
size_t decode_sized(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder& decoder) {
  return lanes == 64 ? decode_grouped<64 / kWidth, Size>(table, symbols, rows, decoder)
                     : decode_grouped<128 / kWidth, Size>(table, symbols, rows, decoder);
}

void encode(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows,
            RansEncoder& encoder) noexcept {
  if (table.size <= 16) return encode_sized<16>(table, lanes, symbols, rows, encoder);
  if (table.size <= 32) return encode_sized<32>(table, lanes, symbols, rows, encoder);
  encode_sized<64>(table, lanes, symbols, rows, encoder);
}

size_t decode(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder& decoder) noexcept {
  if (table.size <= 16) return decode_sized<16>(table, lanes, symbols, rows, decoder);
  if (table.size <= 32) return decode_sized<32>(table, lanes, symbols, rows, decoder);
  return decode_sized<64>(table, lanes, symbols, rows, decoder);
}

}  // namespace

extern const RansKernels kRansKernels;
const RansKernels kRansKernels = {encode, decode, scalar::encode_classes, scalar::decode_classes};

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
