// The one table between torch's scalar types and the format's dtypes (docs/format.md 6.1). Scalar types are held as the
// numbers that torch's C functions give out: torch is free to renumber its enum.
#pragma once
#include <torch/csrc/stable/tensor.h>

#include <iterator>
#include <string>

#include "csrc/base/dtype.h"
#include "csrc/base/error.h"

// X(enumerator of DType, function that returns torch's number)
#define MITHRIL_SCALAR_TYPES(X)                        \
  X(kBool, aoti_torch_dtype_bool)                      \
  X(kUInt8, aoti_torch_dtype_uint8)                    \
  X(kInt8, aoti_torch_dtype_int8)                      \
  X(kUInt16, aoti_torch_dtype_uint16)                  \
  X(kInt16, aoti_torch_dtype_int16)                    \
  X(kUInt32, aoti_torch_dtype_uint32)                  \
  X(kInt32, aoti_torch_dtype_int32)                    \
  X(kUInt64, aoti_torch_dtype_uint64)                  \
  X(kInt64, aoti_torch_dtype_int64)                    \
  X(kFloat16, aoti_torch_dtype_float16)                \
  X(kBFloat16, aoti_torch_dtype_bfloat16)              \
  X(kFloat32, aoti_torch_dtype_float32)                \
  X(kFloat64, aoti_torch_dtype_float64)                \
  X(kComplex32, aoti_torch_dtype_complex32)            \
  X(kComplex64, aoti_torch_dtype_complex64)            \
  X(kComplex128, aoti_torch_dtype_complex128)          \
  X(kFloat8E4M3Fn, aoti_torch_dtype_float8_e4m3fn)     \
  X(kFloat8E4M3Fnuz, aoti_torch_dtype_float8_e4m3fnuz) \
  X(kFloat8E5M2, aoti_torch_dtype_float8_e5m2)         \
  X(kFloat8E5M2Fnuz, aoti_torch_dtype_float8_e5m2fnuz) \
  X(kFloat8E8M0Fnu, torch_dtype_float8_e8m0fnu)        \
  X(kFloat4E2M1FnX2, torch_dtype_float4_e2m1fn_x2)

namespace mithril {

struct ScalarTypeRow {
  DType dtype;
  int32_t (*scalar_type)();
};

inline constexpr ScalarTypeRow kScalarTypes[] = {
#define MITHRIL_ROW(e, function) {DType::e, &function},
    MITHRIL_SCALAR_TYPES(MITHRIL_ROW)
#undef MITHRIL_ROW
};
static_assert(std::size(kScalarTypes) == std::size(kDTypes), "every dtype has a scalar type");

inline int32_t scalar_type_of(DType dtype) {
  for (const ScalarTypeRow& row : kScalarTypes)
    if (row.dtype == dtype) return row.scalar_type();
  throw_unsupported("PyTorch has no dtype " + std::string(info(dtype).name));
}

// Throws unsupported for a scalar type that the format lacks: quantized ones, bits, integers of less than a byte.
inline const DTypeInfo& dtype_of(int32_t scalar_type) {
  for (const ScalarTypeRow& row : kScalarTypes)
    if (row.scalar_type() == scalar_type) return info(row.dtype);
  throw_unsupported("the dtype of the tensor is not supported");
}

inline const DTypeInfo& dtype_of(torch::headeronly::ScalarType type) {
  return dtype_of(torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)));
}

}  // namespace mithril
