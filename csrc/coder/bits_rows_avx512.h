// Symbols of b < 8 bits in a register, to and from packed ones; included after simd_avx512.h.

namespace mithril::avx512 {

namespace {

// Packed symbols stand in the lower 8 · b bytes.
class PackBits {
 public:
  explicit PackBits(uint32_t bits) : bytes_((__mmask64{1} << 8 * bits) - 1), bits_(bits) {
    close_ = load(kBitsShuffles.pack[bits]);
    pairs_ = words_of(1 | 1u << (8 + bits)), fours_ = _mm512_set1_epi32(1 | 1 << (16 + 2 * bits));
    low_ = _mm512_set1_epi64((int64_t{1} << 4 * bits) - 1);
    shift_ = _mm_cvtsi32_si128(static_cast<int>(32 - 4 * bits));
  }
  // Products and sums make pairs of symbols, then fours, of which two are put together.
  V operator()(V symbols) const {
    V x = _mm512_maddubs_epi16(pairs_, symbols);  // symbols are below 128, the factors unsigned
    x = _mm512_madd_epi16(x, fours_);
    x = _mm512_or_si512(_mm512_and_si512(x, low_), _mm512_andnot_si512(low_, _mm512_srl_epi64(x, shift_)));
    return _mm512_permutexvar_epi8(close_, x);
  }
  // The registers of a row, and nothing beyond.
  template <size_t Groups>
  void store_row(uint8_t* out, const V (&symbols)[Groups]) const {
    for (size_t g = 0; g < Groups; g++) _mm512_mask_storeu_epi8(out + 8 * bits_ * g, bytes_, (*this)(symbols[g]));
  }

 private:
  V close_, pairs_, fours_, low_;
  __m128i shift_;
  __mmask64 bytes_;
  uint32_t bits_;
};

// From 64 bytes; what is above the lower 8 · b may be anything.
class UnpackBits {
 public:
  explicit UnpackBits(uint32_t bits) {
    open_ = load(kBitsShuffles.eight[bits]), shifts_ = load(kBitsShuffles.shift[bits]);
    mask_ = bytes_of((1u << bits) - 1);
  }
  V operator()(V packed) const {
    V eight = _mm512_permutexvar_epi8(open_, packed);
    return _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts_, eight), mask_);
  }

 private:
  V open_, shifts_, mask_;
};

inline V load_packed(const uint8_t* p, uint32_t) { return load(p); }

}  // namespace

}  // namespace mithril::avx512
