// The bits kernels for registers V of 16 or 32 bytes, included under the target of an instruction set, whose namespace
// has V, kWidth and
//
//   load store load_twice (16 bytes, repeated) load_at store_at (16 bytes, and 16 more at a distance) words integers
//   integers64 multiply_add8 (unsigned · signed) multiply_add16 multiply16 right16 right64 shuffle bytes_of_words

namespace mithril {

namespace scalar {
extern const BitsKernels kBitsKernels;
}

namespace MITHRIL_ISA_NAMESPACE {

namespace {

constexpr size_t kGroups = kWidth / 8;

// Both loops reach over what they are to touch by less than 16 bytes, so the last groups are left to the scalar ones.
inline bool has_room(size_t groups, uint32_t bits) { return groups >= kGroups && groups * bits >= 2 * bits + 16; }

// Products and sums make pairs of symbols, then fours, of which two are put together.
void pack(const uint8_t* symbols, size_t groups, uint32_t bits, uint8_t* out) noexcept {
  const V close = load_twice(kBitsShuffles.pack[bits]);
  const V pairs = words(1 | 1 << (8 + bits)), fours = integers(1 | 1 << (16 + 2 * bits));
  const V low = integers64((int64_t{1} << 4 * bits) - 1);
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(32 - 4 * bits));
  for (; has_room(groups, bits); groups -= kGroups, symbols += kWidth, out += kGroups * bits) {
    V x = multiply_add16(multiply_add8(pairs, load(symbols)), fours);  // symbols are below 128, the factors unsigned
    store_at(out, 2 * bits, shuffle((x & low) | (right64(x, shift) & ~low), close));
  }
  scalar::kBitsKernels.pack(symbols, groups, bits, out);
}

void unpack(const uint8_t* packed, size_t groups, uint32_t bits, uint8_t* symbols) noexcept {
  const uint8_t* word = kBitsShuffles.word[bits];
  const V first = load_twice(word), second = load_twice(word + 16), factor = load_twice(kBitsShuffles.factor[bits]);
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(16 - bits));
  for (; has_room(groups, bits); groups -= kGroups, packed += kGroups * bits, symbols += kWidth) {
    V x = load_at(packed, 2 * bits);
    V a = right16(multiply16(shuffle(x, first), factor), shift);
    V b = right16(multiply16(shuffle(x, second), factor), shift);
    store(symbols, bytes_of_words(a, b));
  }
  scalar::kBitsKernels.unpack(packed, groups, bits, symbols);
}

}  // namespace

extern const BitsKernels kBitsKernels;
const BitsKernels kBitsKernels = {pack, unpack};

}  // namespace MITHRIL_ISA_NAMESPACE

}  // namespace mithril
