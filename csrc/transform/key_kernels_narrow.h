// Keys of bfloat16, float16 and float32, kWidth components at a time, for registers V of 16 or 32 bytes: see
// key_kernels_avx512.cpp. Included under the target of an instruction set, whose namespace has V, kWidth and
//
//   load store words sub16 add16 saturating_sub16 equal16 left16 right16 any
//   pack (words below 256 to bytes) split_words (32-bit lanes to lower and upper halves) mix_bytes mix_words (two
//   registers interleaved), all in order.

namespace mithril::MITHRIL_ISA_NAMESPACE {

extern const Kernels kKernels;

namespace {

inline V low_bytes(V a, V b) { return pack(a & words(0xff), b & words(0xff)); }
inline V high_bytes(V a, V b) { return pack(right16(a, 8), right16(b, 8)); }

// Sign, 8 exponent bits and 7 mantissa bits in words: a bfloat16, or the upper half of a float32.
template <uint32_t J>
struct Words {
  static constexpr uint32_t kShift = 7 - J, kKeyBits = 8 + J;

  // Bytes of key and rest in words; `bad` is not zero once a key lies outside of the window.
  static void split(V x, V before, V& key, V& rest, V& bad) {
    V t = right16(x, kShift) & words((1 << kKeyBits) - 1);
    if constexpr (J == 0) {
      key = t;
    } else {
      V v = sub16(t, before), zero = equal16(t, V{});
      bad |= saturating_sub16(v, words(254)) & ~zero;  // 255 and more, or negative
      key = (v & ~zero) | (words(255) & zero);
    }
    V low = words((1 << kShift) - 1);
    rest = (x & low) | (right16(x, 8 + J) & ~low);
  }
  // From words of rest and, in the upper byte, key.
  static V join(V w, V before) {
    V t = right16(w, 8);
    if constexpr (J > 0) t = add16(t, before) & ~equal16(t, words(255));
    return left16(t, kShift) | (w & words((1 << kShift) - 1)) | (left16(w, 8 + J) & words(0x8000));
  }
};

template <uint32_t J>
struct BFloat16 {
  static constexpr uint32_t kKey = J ? 2 : 1;  // planes: rest, key_high when J > 0, key

  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    const V before = words(base + 1);
    V bad{};
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      V key[2], rest[2];
      for (size_t h = 0; h < 2; h++) Words<J>::split(load(raw + 2 * i + kWidth * h), before, key[h], rest[h], bad);
      store(planes[kKey] + i, low_bytes(key[0], key[1]));
      store(planes[0] + i, pack(rest[0], rest[1]));
    }
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kBFloat16)][J];
    if (any(bad)) return body.split(raw, n, base, planes);
    uint8_t* const tail[] = {planes[0] + i, nullptr, planes[kKey] + i};
    uint8_t* const short_tail[] = {planes[0] + i, planes[kKey] + i};
    return body.split(raw + 2 * i, n - i, base, J ? tail : short_tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kBFloat16)][J];
    if (J && planes[1]) return body.join(planes, n, base, raw);
    const V before = words(base + 1);
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      V mixed[2];
      mix_bytes(load(planes[0] + i), load(planes[kKey] + i), mixed);
      for (size_t h = 0; h < 2; h++) store(raw + 2 * i + kWidth * h, Words<J>::join(mixed[h], before));
    }
    const uint8_t* const tail[] = {planes[0] + i, nullptr, planes[kKey] + i};
    const uint8_t* const short_tail[] = {planes[0] + i, planes[kKey] + i};
    body.join(J ? tail : short_tail, n - i, base, raw + 2 * i);
  }
};

template <uint32_t J>
struct Float32 {
  static constexpr uint32_t kKey = J ? 4 : 3;  // planes: rest, two bytes, key_high when J > 0, key

  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    const V before = words(base + 1);
    V bad{};
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      V key[2], rest[2], low[2], upper;
      for (size_t h = 0; h < 2; h++) {
        const uint8_t* from = raw + 4 * i + 2 * kWidth * h;
        split_words(load(from), load(from + kWidth), low[h], upper);
        Words<J>::split(upper, before, key[h], rest[h], bad);
      }
      store(planes[kKey] + i, low_bytes(key[0], key[1]));
      store(planes[0] + i, pack(rest[0], rest[1]));
      store(planes[1] + i, high_bytes(low[0], low[1]));
      store(planes[2] + i, low_bytes(low[0], low[1]));
    }
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kFloat32)][J];
    if (any(bad)) return body.split(raw, n, base, planes);
    uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, nullptr, planes[kKey] + i};
    uint8_t* const short_tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, planes[kKey] + i};
    return body.split(raw + 4 * i, n - i, base, J ? tail : short_tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    const auto& body = kKernels.keys[static_cast<size_t>(KeyLayout::kFloat32)][J];
    if (J && planes[3]) return body.join(planes, n, base, raw);
    const V before = words(base + 1);
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      V upper[2], lower[2], mixed[2];
      mix_bytes(load(planes[0] + i), load(planes[kKey] + i), upper);
      mix_bytes(load(planes[2] + i), load(planes[1] + i), lower);
      for (size_t h = 0; h < 2; h++) {
        mix_words(lower[h], Words<J>::join(upper[h], before), mixed);
        uint8_t* to = raw + 4 * i + 2 * kWidth * h;
        store(to, mixed[0]), store(to + kWidth, mixed[1]);
      }
    }
    const uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, nullptr, planes[kKey] + i};
    const uint8_t* const short_tail[] = {planes[0] + i, planes[1] + i, planes[2] + i, planes[kKey] + i};
    body.join(J ? tail : short_tail, n - i, base, raw + 4 * i);
  }
};

// Two bits of the mantissa in the key leave the sign and a byte: planes sign, byte, key.
struct Float16 {
  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      V a = load(raw + 2 * i), b = load(raw + 2 * i + kWidth), high = high_bytes(a, b);
      store(planes[1] + i, low_bytes(a, b));
      store(planes[2] + i, high & words(0x7f7f));
      store(planes[0] + i, right16(high, 7) & words(0x0101));
    }
    uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    return kKernels.keys[static_cast<size_t>(KeyLayout::kFloat16)][2].split(raw + 2 * i, n - i, base, tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      V sign = load(planes[0] + i), mixed[2];
      mix_bytes(load(planes[1] + i), load(planes[2] + i) | (left16(sign, 7) & words(0x8080)), mixed);
      store(raw + 2 * i, mixed[0]), store(raw + 2 * i + kWidth, mixed[1]);
    }
    const uint8_t* const tail[] = {planes[0] + i, planes[1] + i, planes[2] + i};
    kKernels.keys[static_cast<size_t>(KeyLayout::kFloat16)][2].join(tail, n - i, base, raw + 2 * i);
  }
};

}  // namespace

extern const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1] = {
    {{BFloat16<0>::split, nullptr, BFloat16<0>::join},
     {BFloat16<1>::split, nullptr, BFloat16<1>::join},
     {BFloat16<2>::split, nullptr, BFloat16<2>::join}},
    {{}, {}, {Float16::split, nullptr, Float16::join}},
    {{Float32<0>::split, nullptr, Float32<0>::join},
     {Float32<1>::split, nullptr, Float32<1>::join},
     {Float32<2>::split, nullptr, Float32<2>::join}}};

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
