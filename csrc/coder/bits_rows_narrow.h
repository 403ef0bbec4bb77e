// Symbols of b < 8 bits in registers of 16 or 32 bytes, to and from packed ones; included after simd_<isa>.h.

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

// Packed symbols stand in the lower 2 · b bytes of each 16; what is above is of no use.
class PackBits {
 public:
  explicit PackBits(uint32_t bits) : bits_(bits) {
    close_ = load16(kBitsShuffles.pack[bits]);
    pairs_ = words_of(1 | 1u << (8 + bits)), fours_ = integers_of(1 | 1u << (16 + 2 * bits));
    low_ = longs_of((uint64_t{1} << 4 * bits) - 1);
    shift_ = _mm_cvtsi32_si128(static_cast<int>(32 - 4 * bits));
  }
  // Products and sums make pairs of symbols, then fours, of which two are put together.
  V operator()(V symbols) const {
    V x = multiply_add16(multiply_add8(pairs_, symbols), fours_);  // symbols are below 128, the factors unsigned
    return shuffle((x & low_) | (right64(x, shift_) & ~low_), close_);
  }
  // The registers of a row, and nothing beyond: stores reach over what follows, which is put back.
  template <size_t Groups>
  void store_row(uint8_t* out, const V (&symbols)[Groups]) const {
    constexpr size_t kGroups = kWidth / 8;
    __m128i* end = reinterpret_cast<__m128i*>(out + Groups * kGroups * bits_);
    __m128i after = _mm_loadu_si128(end);
    for (size_t g = 0; g < Groups; g++) store_at(out + g * kGroups * bits_, 2 * bits_, (*this)(symbols[g]));
    _mm_storeu_si128(end, after);
  }

 private:
  V close_, pairs_, fours_, low_;
  __m128i shift_;
  uint32_t bits_;
};

class UnpackBits {
 public:
  explicit UnpackBits(uint32_t bits) {
    first_ = load16(kBitsShuffles.word[bits]), second_ = load16(kBitsShuffles.word[bits] + 16);
    factor_ = load16(kBitsShuffles.factor[bits]);
    shift_ = _mm_cvtsi32_si128(static_cast<int>(16 - bits));
  }
  V operator()(V packed) const {
    return pack8(right16(multiply16(shuffle(packed, first_), factor_), shift_),
                 right16(multiply16(shuffle(packed, second_), factor_), shift_));
  }

 private:
  V first_, second_, factor_;
  __m128i shift_;
};

inline V load_packed(const uint8_t* p, uint32_t bits) { return load_at(p, 2 * bits); }

}  // namespace

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
