// The rans kernels on symbols in memory, included after the rans_rows_<isa>.h of an instruction set.

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

// The symbols of a row where they lie.
struct FromMemory {
  const uint8_t* symbols;
  template <size_t Groups>
  bool operator()(size_t at, V (&row)[Groups]) const {
    for (size_t g = 0; g < Groups; g++) row[g] = load(symbols + at + kWidth * g);
    return true;
  }
};
struct ToMemory {
  uint8_t* symbols;
  void operator()(size_t at, V row) const { store(symbols + at, row); }
};

void encode(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows,
            RansEncoder& encoder) noexcept {
  encode_with(table, lanes, rows, encoder, FromMemory{symbols});
}

size_t decode(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder& decoder) noexcept {
  return decode_with(table, lanes, rows, decoder, ToMemory{symbols});
}

}  // namespace

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
