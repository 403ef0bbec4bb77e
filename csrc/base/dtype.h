// The dtype table: the one place that knows names, wire ids, widths and float fields (docs/format.md 6.1).
#pragma once
#include <cstdint>
#include <string_view>

// X(enumerator, name, wire id, element bytes, component bytes, exponent bits, mantissa bits)
#define MITHRIL_DTYPES(X)                               \
  X(kBool, "bool", 1, 1, 1, 0, 0)                       \
  X(kUInt8, "uint8", 2, 1, 1, 0, 0)                     \
  X(kInt8, "int8", 3, 1, 1, 0, 0)                       \
  X(kUInt16, "uint16", 4, 2, 2, 0, 0)                   \
  X(kInt16, "int16", 5, 2, 2, 0, 0)                     \
  X(kUInt32, "uint32", 6, 4, 4, 0, 0)                   \
  X(kInt32, "int32", 7, 4, 4, 0, 0)                     \
  X(kUInt64, "uint64", 8, 8, 8, 0, 0)                   \
  X(kInt64, "int64", 9, 8, 8, 0, 0)                     \
  X(kFloat16, "float16", 10, 2, 2, 5, 10)               \
  X(kBFloat16, "bfloat16", 11, 2, 2, 8, 7)              \
  X(kFloat32, "float32", 12, 4, 4, 8, 23)               \
  X(kFloat64, "float64", 13, 8, 8, 11, 52)              \
  X(kComplex32, "complex32", 14, 4, 2, 5, 10)           \
  X(kComplex64, "complex64", 15, 8, 4, 8, 23)           \
  X(kComplex128, "complex128", 16, 16, 8, 11, 52)       \
  X(kFloat8E4M3Fn, "float8_e4m3fn", 17, 1, 1, 4, 3)     \
  X(kFloat8E4M3Fnuz, "float8_e4m3fnuz", 18, 1, 1, 4, 3) \
  X(kFloat8E5M2, "float8_e5m2", 19, 1, 1, 5, 2)         \
  X(kFloat8E5M2Fnuz, "float8_e5m2fnuz", 20, 1, 1, 5, 2) \
  X(kFloat8E8M0Fnu, "float8_e8m0fnu", 21, 1, 1, 0, 0)   \
  X(kFloat4E2M1FnX2, "float4_e2m1fn_x2", 22, 1, 1, 0, 0)

namespace mithril {

enum class DType : uint16_t {
#define MITHRIL_ENUM(e, name, id, w, c, x, m) e = id,
  MITHRIL_DTYPES(MITHRIL_ENUM)
#undef MITHRIL_ENUM
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  uint32_t element_bytes;
  uint32_t component_bytes;
  uint32_t exponent_bits;  // 0: no float fields
  uint32_t mantissa_bits;
};

inline constexpr DTypeInfo kDTypes[] = {
#define MITHRIL_ROW(e, name, id, w, c, x, m) {DType::e, name, w, c, x, m},
    MITHRIL_DTYPES(MITHRIL_ROW)
#undef MITHRIL_ROW
};

// Null for an id that is not in the table.
inline const DTypeInfo* find_dtype(uint16_t id) {
  for (const DTypeInfo& d : kDTypes)
    if (static_cast<uint16_t>(d.dtype) == id) return &d;
  return nullptr;
}

inline const DTypeInfo* find_dtype(std::string_view name) {
  for (const DTypeInfo& d : kDTypes)
    if (d.name == name) return &d;
  return nullptr;
}

inline const DTypeInfo& info(DType dtype) { return *find_dtype(static_cast<uint16_t>(dtype)); }

}  // namespace mithril
