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

#undef U8

}  // namespace

extern const Kernels kKernels;
const Kernels kKernels = {
    {split_bytes2, split_bytes4, split_bytes8, split_bfloat16, split_float16, split_float32, split_float64,
     split_float8e4, split_float8e5},
    {join_bytes2, join_bytes4, join_bytes8, join_bfloat16, join_float16, join_float32, join_float64, join_float8e4,
     join_float8e5},
};

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
