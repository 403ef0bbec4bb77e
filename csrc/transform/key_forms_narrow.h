// The forms of key_forms_avx512.h for registers of 16 or 32 bytes, included after simd_<isa>.h.

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

// Words below 256 to bytes; 32-bit lanes to lower and upper halves; two registers interleaved: all in order.
inline V pack_words(V a, V b) { return in_order(pack8(a, b)); }
inline V low_bytes_of(V a, V b) { return pack_words(a & words_of(0xff), b & words_of(0xff)); }
inline V high_bytes_of(V a, V b) { return pack_words(right16<8>(a), right16<8>(b)); }
inline void split_words(V a, V b, V& lower, V& upper) {
  alignas(16) static constexpr uint8_t kHalves[16] = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
  const V halves = load16(kHalves);
  a = shuffle(a, halves), b = shuffle(b, halves);
  lower = in_order(unpack_low64(a, b)), upper = in_order(unpack_high64(a, b));
}
inline void mix_bytes(V even, V odd, V out[2]) {
  even = in_order(even), odd = in_order(odd);
  out[0] = unpack_low8(even, odd), out[1] = unpack_high8(even, odd);
}
inline void mix_words(V even, V odd, V out[2]) {
  even = in_order(even), odd = in_order(odd);
  out[0] = unpack_low16(even, odd), out[1] = unpack_high16(even, odd);
}

using Bad = V;
inline bool is_bad(Bad bad) { return any(bad); }
inline Bad bad_bits(V v, V bits) { return v & bits; }

// Sign, 8 exponent bits and 7 mantissa bits in words: a bfloat16, or the upper half of a float32.
template <uint32_t J>
struct Words {
  static constexpr uint32_t kShift = 7 - J, kKeyBits = 8 + J;

  // Bytes of key and rest in words.
  static void split(V x, V before, V& key, V& rest, Bad& bad) {
    V t = right16<kShift>(x) & words_of((1 << kKeyBits) - 1);
    if constexpr (J == 0) {
      key = t;
    } else {
      V v = sub16(t, before), zero = equal16(t, V{});
      bad |= saturating_sub16(v, words_of(254)) & ~zero;  // 255 and more, or negative
      key = (v & ~zero) | (words_of(255) & zero);
    }
    V low = words_of((1 << kShift) - 1);
    rest = (x & low) | (right16<8 + J>(x) & ~low);
  }
  // From words of rest and, in the upper byte, key.
  static V join(V w, V before) {
    V t = right16<8>(w);
    if constexpr (J > 0) t = add16(t, before) & ~equal16(t, words_of(255));
    return left16<kShift>(t) | (w & words_of((1 << kShift) - 1)) | (left16<8 + J>(w) & words_of(0x8000));
  }
};

template <uint32_t J>
struct BFloat16 {
  static constexpr size_t kBytesWide = 2, kBytes = 0, kHigh = J > 0;

  static void split(const uint8_t* raw, V before, V& key, V& top, uint8_t* const*, size_t, Bad& bad) {
    V keys[2], rest[2];
    for (size_t h = 0; h < 2; h++) Words<J>::split(load(raw + kWidth * h), before, keys[h], rest[h], bad);
    key = low_bytes_of(keys[0], keys[1]), top = pack_words(rest[0], rest[1]);
  }
  static void join(V key, V top, const uint8_t* const*, size_t, V before, uint8_t* raw) {
    V mixed[2];
    mix_bytes(top, key, mixed);
    for (size_t h = 0; h < 2; h++) store(raw + kWidth * h, Words<J>::join(mixed[h], before));
  }
};

template <uint32_t J>
struct Float32 {
  static constexpr size_t kBytesWide = 4, kBytes = 2, kHigh = J > 0;

  static void split(const uint8_t* raw, V before, V& key, V& top, uint8_t* const* bytes, size_t i, Bad& bad) {
    V keys[2], rest[2], low[2], upper;
    for (size_t h = 0; h < 2; h++) {
      const uint8_t* from = raw + 2 * kWidth * h;
      split_words(load(from), load(from + kWidth), low[h], upper);
      Words<J>::split(upper, before, keys[h], rest[h], bad);
    }
    key = low_bytes_of(keys[0], keys[1]), top = pack_words(rest[0], rest[1]);
    store(bytes[0] + i, high_bytes_of(low[0], low[1]));
    store(bytes[1] + i, low_bytes_of(low[0], low[1]));
  }
  static void join(V key, V top, const uint8_t* const* bytes, size_t i, V before, uint8_t* raw) {
    V upper[2], lower[2], mixed[2];
    mix_bytes(top, key, upper);
    mix_bytes(load(bytes[1] + i), load(bytes[0] + i), lower);
    for (size_t h = 0; h < 2; h++) {
      mix_words(lower[h], Words<J>::join(upper[h], before), mixed);
      uint8_t* to = raw + 2 * kWidth * h;
      store(to, mixed[0]), store(to + kWidth, mixed[1]);
    }
  }
};

struct Float16 {
  static constexpr size_t kBytesWide = 2, kBytes = 1, kHigh = 0;

  static void split(const uint8_t* raw, V, V& key, V& top, uint8_t* const* bytes, size_t i, Bad&) {
    V a = load(raw), b = load(raw + kWidth), high = high_bytes_of(a, b);
    store(bytes[0] + i, low_bytes_of(a, b));
    key = high & bytes_of(0x7f), top = right16<7>(high) & bytes_of(1);
  }
  static void join(V key, V top, const uint8_t* const* bytes, size_t i, V, uint8_t* raw) {
    V mixed[2];
    mix_bytes(load(bytes[0] + i), key | left16<7>(top), mixed);
    store(raw, mixed[0]), store(raw + kWidth, mixed[1]);
  }
};

template <uint32_t M>
struct Float8 {
  static constexpr size_t kBytesWide = 1, kBytes = 0, kHigh = 0;
  static constexpr uint32_t kRest = M - 2, kRestMask = (1 << kRest) - 1;

  static void split(const uint8_t* raw, V, V& key, V& top, uint8_t* const*, size_t, Bad&) {
    V x = load(raw);
    key = right16<kRest>(x) & bytes_of(0x7f >> kRest);
    top = (x & bytes_of(kRestMask)) | (right16<7 - kRest>(x) & bytes_of(1 << kRest));
  }
  static void join(V key, V top, const uint8_t* const*, size_t, V, uint8_t* raw) {
    store(raw, left16<kRest>(key) | (top & bytes_of(kRestMask)) | (left16<7 - kRest>(top) & bytes_of(0x80)));
  }
};

}  // namespace

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
