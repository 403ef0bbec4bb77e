// The meaning of every kernel, compiled once per instruction set under the namespace MITHRIL_ISA_NAMESPACE. Plain loops
// that the compiler vectorises for the target of the including file; no standard library here, so that the linker
// cannot mix variants.

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

template <class T>
inline T load(const uint8_t* p) {
  T v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
inline void store(uint8_t* p, T v) {
  __builtin_memcpy(p, &v, sizeof v);
}

#define U8(x) static_cast<uint8_t>(x)

void split_bytes2(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict p0 = planes[0], * __restrict p1 = planes[1];
  for (size_t i = 0; i < n; i++) {
    auto x = load<uint16_t>(raw + 2 * i);
    p0[i] = U8(x), p1[i] = U8(x >> 8);
  }
}
void join_bytes2(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict p0 = planes[0], * __restrict p1 = planes[1];
  for (size_t i = 0; i < n; i++) store<uint16_t>(raw + 2 * i, static_cast<uint16_t>(p0[i] | p1[i] << 8));
}

void split_bytes4(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict p0 = planes[0], * __restrict p1 = planes[1], * __restrict p2 = planes[2], * __restrict p3 = planes[3];
  for (size_t i = 0; i < n; i++) {
    auto x = load<uint32_t>(raw + 4 * i);
    p0[i] = U8(x), p1[i] = U8(x >> 8), p2[i] = U8(x >> 16), p3[i] = U8(x >> 24);
  }
}
void join_bytes4(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict p0 = planes[0], * __restrict p1 = planes[1], * __restrict p2 = planes[2], * __restrict p3 = planes[3];
  for (size_t i = 0; i < n; i++)
    store<uint32_t>(raw + 4 * i,
                    uint32_t{p0[i]} | uint32_t{p1[i]} << 8 | uint32_t{p2[i]} << 16 | uint32_t{p3[i]} << 24);
}

void split_bytes8(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  for (int k = 0; k < 8; k++) {
    uint8_t* __restrict p = planes[k];
    for (size_t i = 0; i < n; i++) p[i] = U8(load<uint64_t>(raw + 8 * i) >> (8 * k));
  }
}
void join_bytes8(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict p0 = planes[0], * __restrict p1 = planes[1], * __restrict p2 = planes[2], * __restrict p3 = planes[3];
  const uint8_t* __restrict p4 = planes[4], * __restrict p5 = planes[5], * __restrict p6 = planes[6], * __restrict p7 = planes[7];
  for (size_t i = 0; i < n; i++)
    store<uint64_t>(raw + 8 * i, uint64_t{p0[i]} | uint64_t{p1[i]} << 8 | uint64_t{p2[i]} << 16 |
                                     uint64_t{p3[i]} << 24 | uint64_t{p4[i]} << 32 | uint64_t{p5[i]} << 40 |
                                     uint64_t{p6[i]} << 48 | uint64_t{p7[i]} << 56);
}

void split_bfloat16(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict e = planes[0], * __restrict sm = planes[1];
  for (size_t i = 0; i < n; i++) {
    auto x = load<uint16_t>(raw + 2 * i);
    e[i] = U8(x >> 7), sm[i] = U8((x >> 8 & 0x80) | (x & 0x7f));
  }
}
void join_bfloat16(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict e = planes[0], * __restrict sm = planes[1];
  for (size_t i = 0; i < n; i++)
    store<uint16_t>(raw + 2 * i, static_cast<uint16_t>((sm[i] & 0x80) << 8 | e[i] << 7 | (sm[i] & 0x7f)));
}

void split_float16(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict e = planes[0], * __restrict sm = planes[1], * __restrict m = planes[2];
  for (size_t i = 0; i < n; i++) {
    auto x = load<uint16_t>(raw + 2 * i);
    e[i] = U8(x >> 10 & 0x1f), sm[i] = U8((x >> 13 & 4) | (x >> 8 & 3)), m[i] = U8(x);
  }
}
void join_float16(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict e = planes[0], * __restrict sm = planes[1], * __restrict m = planes[2];
  for (size_t i = 0; i < n; i++)
    store<uint16_t>(raw + 2 * i, static_cast<uint16_t>((sm[i] & 4) << 13 | e[i] << 10 | (sm[i] & 3) << 8 | m[i]));
}

void split_float32(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict e = planes[0], * __restrict sm = planes[1], * __restrict m1 = planes[2], * __restrict m0 = planes[3];
  for (size_t i = 0; i < n; i++) {
    auto x = load<uint32_t>(raw + 4 * i);
    e[i] = U8(x >> 23), sm[i] = U8((x >> 24 & 0x80) | (x >> 16 & 0x7f)), m1[i] = U8(x >> 8), m0[i] = U8(x);
  }
}
void join_float32(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict e = planes[0], * __restrict sm = planes[1], * __restrict m1 = planes[2], * __restrict m0 = planes[3];
  for (size_t i = 0; i < n; i++)
    store<uint32_t>(raw + 4 * i, uint32_t{sm[i]} >> 7 << 31 | uint32_t{e[i]} << 23 | (uint32_t{sm[i]} & 0x7f) << 16 |
                                     uint32_t{m1[i]} << 8 | m0[i]);
}

void split_float64(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict e = planes[0], * __restrict eh = planes[1], * __restrict sm = planes[2];
  for (size_t i = 0; i < n; i++) {
    auto x = load<uint64_t>(raw + 8 * i);
    e[i] = U8(x >> 52), eh[i] = U8(x >> 60 & 7), sm[i] = U8((x >> 59 & 0x10) | (x >> 48 & 0xf));
  }
  for (int k = 0; k < 6; k++) {
    uint8_t* __restrict m = planes[8 - k];
    for (size_t i = 0; i < n; i++) m[i] = U8(load<uint64_t>(raw + 8 * i) >> (8 * k));
  }
}
void join_float64(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict e = planes[0], * __restrict eh = planes[1], * __restrict sm = planes[2];
  const uint8_t* __restrict m5 = planes[3], * __restrict m4 = planes[4], * __restrict m3 = planes[5], * __restrict m2 = planes[6];
  const uint8_t* __restrict m1 = planes[7], * __restrict m0 = planes[8];
  for (size_t i = 0; i < n; i++)
    store<uint64_t>(raw + 8 * i, uint64_t{sm[i]} >> 4 << 63 | uint64_t{eh[i]} << 60 | uint64_t{e[i]} << 52 |
                                     (uint64_t{sm[i]} & 0xf) << 48 | uint64_t{m5[i]} << 40 | uint64_t{m4[i]} << 32 |
                                     uint64_t{m3[i]} << 24 | uint64_t{m2[i]} << 16 | uint64_t{m1[i]} << 8 | m0[i]);
}

void split_float8e4(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict e = planes[0], * __restrict sm = planes[1];
  for (size_t i = 0; i < n; i++) e[i] = U8(raw[i] >> 3 & 0xf), sm[i] = U8((raw[i] >> 4 & 8) | (raw[i] & 7));
}
void join_float8e4(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict e = planes[0], * __restrict sm = planes[1];
  for (size_t i = 0; i < n; i++) raw[i] = U8((sm[i] & 8) << 4 | e[i] << 3 | (sm[i] & 7));
}

void split_float8e5(const uint8_t* __restrict raw, size_t n, uint8_t* const* planes) noexcept {
  uint8_t* __restrict e = planes[0], * __restrict sm = planes[1];
  for (size_t i = 0; i < n; i++) e[i] = U8(raw[i] >> 2 & 0x1f), sm[i] = U8((raw[i] >> 5 & 4) | (raw[i] & 3));
}
void join_float8e5(const uint8_t* const* planes, size_t n, uint8_t* __restrict raw) noexcept {
  const uint8_t* __restrict e = planes[0], * __restrict sm = planes[1];
  for (size_t i = 0; i < n; i++) raw[i] = U8((sm[i] & 4) << 5 | e[i] << 2 | (sm[i] & 3));
}

// ---- Keys: E exponent bits and the J top bits of M mantissa bits are the key, sign and other mantissa bits the rest.

template <class T, uint32_t E, uint32_t M, uint32_t J>
struct Keys {
  static constexpr uint32_t kBits = E + J, kRest = M - J + 1, kTop = kRest % 8, kBytes = kRest / 8;
  static constexpr bool kWide = kBits > 8;  // so that there is a plane key_high
  static constexpr uint32_t kSign = 8 * sizeof(T) - 1;
  static constexpr uint32_t kHigh = (kTop > 0) + kBytes, kKey = kHigh + kWide;  // numbers of planes
  static constexpr T kKeyMask = static_cast<T>((T{1} << kBits) - 1), kRestMask = static_cast<T>((T{1} << (M - J)) - 1);

  // A key of 8 bits and more is numbered from `base` on, around the end, with zero at 255.
  static T number(T t, T base) {
    T v = static_cast<T>(t - 1 - base);
    v = static_cast<T>(t <= base ? v + kKeyMask : v);
    v = static_cast<T>(v >= 255 ? v + 1 : v);
    return t == 0 ? T{255} : v;
  }
  static T key_of(T x) { return static_cast<T>(x >> (M - J) & kKeyMask); }
  static T rest_of(T x) { return static_cast<T>((x & kRestMask) | x >> kSign << (M - J)); }

  static uint32_t split(const uint8_t* __restrict raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    uint8_t* __restrict key = planes[kKey];
    uint8_t* __restrict top = planes[0];
    const T from = static_cast<T>(base);
    T high = 0;
    if constexpr (kTop > 0) {
      for (size_t i = 0; i < n; i++) {
        T x = load<T>(raw + sizeof(T) * i), t = key_of(x);
        if constexpr (kWide) t = number(t, from), high = static_cast<T>(high | t);
        key[i] = U8(t), top[i] = U8(rest_of(x) >> (8 * kBytes));
      }
    } else {
      for (size_t i = 0; i < n; i++) {
        T t = key_of(load<T>(raw + sizeof(T) * i));
        if constexpr (kWide) t = number(t, from), high = static_cast<T>(high | t);
        key[i] = U8(t);
      }
    }
    for (uint32_t k = 0; k < kBytes; k++) {
      uint8_t* __restrict p = planes[(kTop > 0) + k];
      for (size_t i = 0; i < n; i++) p[i] = U8(rest_of(load<T>(raw + sizeof(T) * i)) >> (8 * (kBytes - 1 - k)));
    }
    return static_cast<uint32_t>(high >> 8);
  }

  static void split_high(const uint8_t* __restrict raw, size_t n, uint32_t base, uint8_t* __restrict high) noexcept {
    if constexpr (kWide)
      for (size_t i = 0; i < n; i++)
        high[i] = U8(number(key_of(load<T>(raw + sizeof(T) * i)), static_cast<T>(base)) >> 8);
  }

  static T key_from(T v, T base) {
    T t = static_cast<T>((v > 255 ? v - 1 : v) + 1 + base);
    t = static_cast<T>(t > kKeyMask ? t - kKeyMask : t);
    return v == 255 ? T{0} : t;
  }
  static T rest_from(const uint8_t* const* planes, size_t i) {
    T rest = 0;
    if constexpr (kTop > 0) rest = planes[0][i];
    for (uint32_t k = 0; k < kBytes; k++) rest = static_cast<T>(rest << 8 | planes[(kTop > 0) + k][i]);
    return rest;
  }
  static T component(T t, T rest) {
    return static_cast<T>((rest & kRestMask) | t << (M - J) | static_cast<T>(rest >> (M - J)) << kSign);
  }

  template <bool High>
  static void join_all(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* __restrict raw) noexcept {
    const uint8_t* __restrict key = planes[kKey];
    const uint8_t* __restrict high = planes[kHigh];
    const uint8_t* p[8];
    for (uint32_t k = 0; k < kHigh; k++) p[k] = planes[k];
    const T from = static_cast<T>(base);
    for (size_t i = 0; i < n; i++) {
      T t = key[i];
      if constexpr (kWide) {
        if constexpr (High) t = static_cast<T>(t | static_cast<T>(high[i]) << 8);
        t = key_from(t, from);
      }
      store<T>(raw + sizeof(T) * i, component(t, rest_from(p, i)));
    }
  }
  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    if (kWide && planes[kHigh])
      join_all<true>(planes, n, base, raw);
    else
      join_all<false>(planes, n, base, raw);
  }
};

#undef U8

#define MITHRIL_KEYS(T, E, M)                                                          \
  {                                                                                    \
      {Keys<T, E, M, 0>::split, Keys<T, E, M, 0>::split_high, Keys<T, E, M, 0>::join}, \
      {Keys<T, E, M, 1>::split, Keys<T, E, M, 1>::split_high, Keys<T, E, M, 1>::join}, \
      {Keys<T, E, M, 2>::split, Keys<T, E, M, 2>::split_high, Keys<T, E, M, 2>::join}, \
  }

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels = {
    {split_bytes2, split_bytes4, split_bytes8, split_bfloat16, split_float16, split_float32, split_float64,
     split_float8e4, split_float8e5},
    {join_bytes2, join_bytes4, join_bytes8, join_bfloat16, join_float16, join_float32, join_float64, join_float8e4,
     join_float8e5},
    {MITHRIL_KEYS(uint16_t, 8, 7), MITHRIL_KEYS(uint16_t, 5, 10), MITHRIL_KEYS(uint32_t, 8, 23),
     MITHRIL_KEYS(uint64_t, 11, 52), MITHRIL_KEYS(uint8_t, 4, 3), MITHRIL_KEYS(uint8_t, 5, 2)},
};
#undef MITHRIL_KEYS

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
