// The kernels, compiled once per instruction set under the namespace MITHRIL_ISA_NAMESPACE with vectors of
// MITHRIL_VECTOR_BYTES (0: the scalar loops, which are the meaning). No standard library here, so that the linker
// cannot mix variants.

namespace mithril::dedup::MITHRIL_ISA_NAMESPACE {

namespace {

template <class T>
inline T load(const void* p) {
  T v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

// --- classify --------------------------------------------------------------------------------------------------------

// Bits of up to 64 bytes: ASCII letters, digits and underscore; bytes beyond ASCII. Capitals are made small.
struct Masks {
  uint64_t word, high;
};

#if MITHRIL_VECTOR_BYTES == 0
struct ByteTable {
  uint8_t lower[256], word[256];
};
constexpr ByteTable make_table() {
  ByteTable t{};
  for (int c = 0; c < 256; c++) {
    const bool capital = c >= 'A' && c <= 'Z';
    t.lower[c] = static_cast<uint8_t>(capital ? c | 32 : c);
    t.word[c] = capital || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  }
  return t;
}
constexpr ByteTable kTable = make_table();

// The lowest bits of 8 bytes, gathered.
inline uint64_t gather(uint64_t bytes) { return (bytes & 0x0101010101010101u) * 0x0102040810204080u >> 56; }

inline Masks classify64(const uint8_t* text, bool fold, uint8_t* lower) {
  Masks m{0, 0};
  for (int i = 0; i < 64; i += 8) {
    uint8_t word[8];
    for (int k = 0; k < 8; k++) {
      const uint8_t c = text[i + k];
      lower[i + k] = fold ? kTable.lower[c] : c;
      word[k] = kTable.word[c];
    }
    m.word |= gather(load<uint64_t>(word)) << i;
    m.high |= gather(load<uint64_t>(text + i) >> 7) << i;
  }
  return m;
}
#elif MITHRIL_VECTOR_BYTES == 64
inline Masks classify64(const uint8_t* text, bool fold, uint8_t* lower) {
  const __m512i v = _mm512_loadu_si512(text);
  auto between = [](__m512i x, char first, char count) {
    return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(x, _mm512_set1_epi8(first)), _mm512_set1_epi8(count));
  };
  const __m512i small = _mm512_or_si512(v, _mm512_set1_epi8(32));
  const __mmask64 letter = between(small, 'a', 26);
  const __m512i folded = fold ? _mm512_mask_blend_epi8(letter, v, small) : v;
  _mm512_storeu_si512(lower, folded);
  return {letter | between(v, '0', 10) | _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('_')), _mm512_movepi8_mask(v)};
}
#else
#if MITHRIL_VECTOR_BYTES == 32
using Bytes = __m256i;
inline Bytes load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store_bytes(uint8_t* p, Bytes v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline Bytes all(char c) { return _mm256_set1_epi8(c); }
inline Bytes greater(Bytes a, Bytes b) { return _mm256_cmpgt_epi8(a, b); }
inline Bytes equal(Bytes a, Bytes b) { return _mm256_cmpeq_epi8(a, b); }
inline Bytes both(Bytes a, Bytes b) { return _mm256_and_si256(a, b); }
inline Bytes either(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
inline uint64_t top_bits(Bytes v) { return static_cast<uint32_t>(_mm256_movemask_epi8(v)); }
#else
using Bytes = __m128i;
inline Bytes load_bytes(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline void store_bytes(uint8_t* p, Bytes v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
inline Bytes all(char c) { return _mm_set1_epi8(c); }
inline Bytes greater(Bytes a, Bytes b) { return _mm_cmpgt_epi8(a, b); }
inline Bytes equal(Bytes a, Bytes b) { return _mm_cmpeq_epi8(a, b); }
inline Bytes both(Bytes a, Bytes b) { return _mm_and_si128(a, b); }
inline Bytes either(Bytes a, Bytes b) { return _mm_or_si128(a, b); }
inline uint64_t top_bits(Bytes v) { return static_cast<uint32_t>(_mm_movemask_epi8(v)); }
#endif

// Compares as signed bytes: those beyond ASCII are negative, and so never within an ASCII range.
inline Bytes between(Bytes v, char first, char last) {
  return both(greater(v, all(static_cast<char>(first - 1))), greater(all(static_cast<char>(last + 1)), v));
}

inline Masks classify64(const uint8_t* text, bool fold, uint8_t* lower) {
  Masks m{0, 0};
  const Bytes case_bit = all(fold ? 32 : 0);
  for (int i = 0; i < 64; i += MITHRIL_VECTOR_BYTES) {
    const Bytes v = load_bytes(text + i);
    const Bytes capital = between(v, 'A', 'Z');
    store_bytes(lower + i, either(v, both(capital, case_bit)));
    const Bytes word = either(either(capital, between(v, 'a', 'z')), either(between(v, '0', '9'), equal(v, all('_'))));
    m.word |= top_bits(word) << i;
    m.high |= top_bits(v) << i;
  }
  return m;
}
#endif

bool classify(const uint8_t* text, size_t size, bool fold, uint8_t* lower, uint64_t* word, uint64_t* high) noexcept {
  uint64_t any = 0;
  size_t i = 0;
  for (; i + 64 <= size; i += 64) {
    const Masks m = classify64(text + i, fold, lower + i);
    word[i / 64] = m.word, high[i / 64] = m.high, any |= m.high;
  }
  if (i < size) {
    uint8_t last[64] = {};
    __builtin_memcpy(last, text + i, size - i);
    const Masks m = classify64(last, fold, lower + i);
    const uint64_t live = (uint64_t{1} << (size - i)) - 1;
    word[i / 64] = m.word & live, high[i / 64] = m.high & live, any |= m.high & live;
  }
  return any != 0;
}

// --- words -----------------------------------------------------------------------------------------------------------

// Products are folded as wyhash does it; the constants hold bytes that no UTF-8 holds, so that no word makes a factor
// zero.
constexpr uint64_t kLow = 0xffc52db9a1fd7e41u, kHigh = 0xfe9b05c44f7a8d37u;

inline uint64_t fold_product(uint64_t a, uint64_t b) {
  const auto p = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(p) ^ static_cast<uint64_t>(p >> 64);
}

struct SixteenMasks {
  uint64_t mask[17][2];
};
constexpr SixteenMasks make_masks() {
  SixteenMasks m{};
  for (int n = 0; n <= 16; n++) {
    m.mask[n][0] = n >= 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * n) - 1;
    m.mask[n][1] = n >= 16 ? ~uint64_t{0} : n <= 8 ? 0 : (uint64_t{1} << 8 * (n - 8)) - 1;
  }
  return m;
}
alignas(16) constexpr SixteenMasks kMasks = make_masks();

inline uint64_t hash_up_to_16(const uint8_t* p, size_t n, uint64_t before) {
  const uint64_t low = load<uint64_t>(p) & kMasks.mask[n][0], high = load<uint64_t>(p + 8) & kMasks.mask[n][1];
  return fold_product(low ^ kLow, high ^ kHigh ^ before);
}

inline uint64_t hash_word(const uint8_t* p, size_t n) {
  uint64_t h = 0;
  for (; __builtin_expect(n > 16, 0); p += 16, n -= 16) h = hash_up_to_16(p, 16, h) >> 8;  // kHigh keeps its first byte
  return hash_up_to_16(p, n, h);
}

template <class Hash, bool kFirst>
size_t hash_runs(const uint8_t* lower, size_t size, const uint64_t* word, const uint64_t* first, Hash* hashes) {
  Hash* to = hashes;
  size_t start = 0;
  uint64_t in = 0;  // whether the byte before belongs to a word
  for (size_t block = 0; block * 64 < size; block++) {
    const uint64_t w = word[block], before = w << 1 | in;
    uint64_t edges = w ^ before;
    if (kFirst) edges |= first[block] & w;
    while (edges) {
      const auto bit = static_cast<unsigned>(__builtin_ctzll(edges));
      const size_t at = block * 64 + bit;
      edges &= edges - 1;
      if (kFirst) {
        if (before >> bit & 1) *to++ = static_cast<Hash>(hash_word(lower + start, at - start));
        start = at;
      } else if (in) {
        *to++ = static_cast<Hash>(hash_word(lower + start, at - start)), in = 0;
      } else {
        start = at, in = 1;
      }
    }
    in = w >> 63;
  }
  if (in) *to++ = static_cast<Hash>(hash_word(lower + start, size - start));
  return static_cast<size_t>(to - hashes);
}

size_t hash32(const uint8_t* lower, size_t size, const uint64_t* word, const uint64_t* first,
              uint32_t* hashes) noexcept {
  return first ? hash_runs<uint32_t, true>(lower, size, word, first, hashes)
               : hash_runs<uint32_t, false>(lower, size, word, nullptr, hashes);
}

size_t hash64(const uint8_t* lower, size_t size, const uint64_t* word, const uint64_t* first,
              uint64_t* hashes) noexcept {
  return first ? hash_runs<uint64_t, true>(lower, size, word, first, hashes)
               : hash_runs<uint64_t, false>(lower, size, word, nullptr, hashes);
}

// --- shingles and permutations ---------------------------------------------------------------------------------------

#if MITHRIL_VECTOR_BYTES == 0
constexpr size_t kWidth = 1;
using Lanes = uint32_t;
#else
constexpr size_t kWidth = MITHRIL_VECTOR_BYTES / 4;
typedef uint32_t Lanes __attribute__((vector_size(MITHRIL_VECTOR_BYTES)));
#endif

template <class T>
inline T mix_shingle(T h) {
  h ^= h >> 16;
  h *= 0x7feb352du;
  return h ^ h >> 15;
}

void shingles(const uint32_t* __restrict words, size_t count, const uint32_t* coefficients, size_t n,
              uint32_t* __restrict shingles) noexcept {
  for (size_t i = 0; i < count; i += kWidth) {
    Lanes h = load<Lanes>(words + i) * coefficients[0];
    for (size_t k = 1; k < n; k++) h += load<Lanes>(words + i + k) * coefficients[k];
    h = mix_shingle(h);
    __builtin_memcpy(shingles + i, &h, sizeof h);
  }
}

template <size_t kVectors>
inline void extremes_block(const uint32_t* shingles, size_t count, const uint32_t* multipliers, uint32_t* minima,
                           uint32_t* maxima) {
  Lanes a[kVectors], low[kVectors], high[kVectors];
  for (size_t v = 0; v < kVectors; v++) {
    a[v] = load<Lanes>(multipliers + v * kWidth);
    low[v] = load<Lanes>(minima + v * kWidth), high[v] = load<Lanes>(maxima + v * kWidth);
  }
  for (size_t i = 0; i < count; i++)
    for (size_t v = 0; v < kVectors; v++) {
      const Lanes x = a[v] * shingles[i];
      low[v] = x < low[v] ? x : low[v];
      high[v] = x > high[v] ? x : high[v];
    }
  for (size_t v = 0; v < kVectors; v++) {
    __builtin_memcpy(minima + v * kWidth, &low[v], sizeof(Lanes));
    __builtin_memcpy(maxima + v * kWidth, &high[v], sizeof(Lanes));
  }
}

void extremes(const uint32_t* shingles, size_t count, const uint32_t* multipliers, size_t lanes, uint32_t* minima,
              uint32_t* maxima) noexcept {
  constexpr size_t kVectors = 4;  // three times as many registers, and some for the products
  constexpr size_t kStep = kVectors * kWidth;
  size_t j = 0;
  for (; j + kStep <= lanes; j += kStep)
    extremes_block<kVectors>(shingles, count, multipliers + j, minima + j, maxima + j);
  for (; j < lanes; j += kWidth) extremes_block<1>(shingles, count, multipliers + j, minima + j, maxima + j);
}

void digests(const uint32_t* __restrict minima, const uint32_t* __restrict maxima, size_t count,
             uint8_t* __restrict digests) noexcept {
  for (size_t j = 0; j < count; j++)
    digests[j] = static_cast<uint8_t>(minima[j] * 0x85ebca6bu >> 28 | (maxima[j] * 0xc2b2ae35u >> 28) << 4);
}

template <class T>
inline T key(const uint32_t* values, size_t bands, size_t rows) {
  T k = load<T>(values);
  for (size_t r = 1; r < rows; r++) k = (k ^ k >> 15) * 0x9e3779b1u + load<T>(values + r * bands);
  k = (k ^ k >> 16) * 0x7feb352du;
  return k ^ k >> 15;
}

void keys(const uint32_t* __restrict values, size_t bands, size_t rows, uint32_t* __restrict keys) noexcept {
  size_t b = 0;
  for (; b + kWidth <= bands; b += kWidth) {
    const Lanes k = key<Lanes>(values + b, bands, rows);
    __builtin_memcpy(keys + b, &k, sizeof k);
  }
  for (; b < bands; b++) keys[b] = key<uint32_t>(values + b, bands, rows);
}

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels{&classify, &hash32, &hash64, &shingles, &extremes, &digests, &keys};

}  // namespace mithril::dedup::MITHRIL_ISA_NAMESPACE
