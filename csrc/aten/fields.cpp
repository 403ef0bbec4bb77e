#include <algorithm>

#include "csrc/aten/ops.h"
#include "csrc/aten/scalar_types.h"
#include "csrc/aten/tensors.h"
#include "csrc/base/parallel.h"
#include "csrc/transform/transform.h"

namespace mithril::ops {

static constexpr uint64_t kChunk = 1 << 18;  // symbols that a thread takes at a time

// body(first, count) over all symbols. The kernels work on one thread, and a whole tensor is worth more.
template <class Body>
static void for_each_chunk(uint64_t symbols, const Body& body) {
  parallel_for(ceil_div(symbols, kChunk), 0,
               [&](size_t i) { body(i * kChunk, std::min(kChunk, symbols - i * kChunk)); });
}

// The byte planes of a dtype depend on its width alone; this one stands for all of `width` bytes.
static const DTypeInfo& integer_of(uint64_t width) {
  switch (width) {
    case 2: return info(DType::kUInt16);
    case 4: return info(DType::kUInt32);
    case 8: return info(DType::kUInt64);
    default: throw_invalid("width " + std::to_string(width) + " is not 2, 4 or 8");
  }
}

static const DTypeInfo& grouping_of(const DTypeInfo& dtype, int64_t width, uint64_t bytes) {
  const DTypeInfo& integer = integer_of(width ? width : std::max<uint64_t>(2, dtype.component_bytes));
  if (bytes % integer.element_bytes)
    throw_invalid(std::to_string(bytes) + " bytes are not a multiple of the width " +
                  std::to_string(integer.element_bytes));
  return integer;
}

Tensor byte_group(const Tensor& x, int64_t width) {
  RowMajor raw(x);
  const DTypeInfo& integer = grouping_of(dtype_of(x), width, raw.size);
  uint64_t symbols = raw.size / integer.element_bytes;
  Tensor grouped = allocate(DType::kUInt8, raw.size);
  uint8_t* out = writable(grouped);
  for_each_chunk(symbols, [&](uint64_t first, uint64_t count) {
    uint8_t* planes[8];
    for (uint64_t k = 0; k < integer.element_bytes; k++) planes[k] = out + k * symbols + first;
    split(Transform::kBytePlanes, integer, raw.data + first * integer.element_bytes, count, planes);
  });
  return grouped;
}

Tensor byte_ungroup(const Tensor& grouped, std::optional<ScalarType> dtype, int64_t width) {
  RowMajor bytes = bytes_of(grouped, "grouped");
  const DTypeInfo& element = dtype ? dtype_of(*dtype) : info(DType::kUInt8);
  const DTypeInfo& integer = grouping_of(element, width, bytes.size);
  if (bytes.size % element.element_bytes)
    throw_invalid(std::to_string(bytes.size) + " bytes are not a whole number of " + std::string(element.name) +
                  " elements");
  uint64_t symbols = bytes.size / integer.element_bytes;
  Tensor x = allocate(element.dtype, bytes.size / element.element_bytes);
  uint8_t* out = writable(x);
  for_each_chunk(symbols, [&](uint64_t first, uint64_t count) {
    const uint8_t* planes[8];
    for (uint64_t k = 0; k < integer.element_bytes; k++) planes[k] = bytes.data + k * symbols + first;
    join(Transform::kBytePlanes, integer, planes, count, out + first * integer.element_bytes);
  });
  return x;
}

static PlaneList fields_of(const DTypeInfo& dtype) {
  PlaneList planes = planes_of(Transform::kFloatFields, dtype);
  if (!planes.count) throw_invalid("dtype " + std::string(dtype.name) + " has no float fields");
  return planes;
}

std::vector<int64_t> float_field_bits(ScalarType dtype) {
  PlaneList planes = fields_of(dtype_of(dtype));
  return {planes.symbol_bits.begin(), planes.symbol_bits.begin() + planes.count};
}

std::vector<Tensor> split_float_fields(const Tensor& x) {
  const DTypeInfo& dtype = dtype_of(x);
  PlaneList fields = fields_of(dtype);
  RowMajor raw(x);
  uint64_t symbols = raw.size / dtype.component_bytes;
  std::vector<Tensor> planes;
  std::array<uint8_t*, kMaxPlanes> out;
  for (uint32_t k = 0; k < fields.count; k++) {
    planes.push_back(allocate(DType::kUInt8, symbols));
    out[k] = writable(planes[k]);
  }
  for_each_chunk(symbols, [&](uint64_t first, uint64_t count) {
    std::array<uint8_t*, kMaxPlanes> at;
    for (uint32_t k = 0; k < fields.count; k++) at[k] = out[k] + first;
    split(Transform::kFloatFields, dtype, raw.data + first * dtype.component_bytes, count, at.data());
  });
  return planes;
}

// A bit too many would change a neighbouring field.
static void check_symbols(const uint8_t* symbols, uint64_t count, uint32_t plane, uint32_t bits) {
  uint8_t seen = 0;
  for (uint64_t i = 0; i < count; i++) seen |= symbols[i];
  if (seen >> bits)
    throw_invalid("planes[" + std::to_string(plane) + "]: a symbol has more than " + std::to_string(bits) + " bits");
}

Tensor join_float_fields(const std::vector<Tensor>& planes, ScalarType scalar_type) {
  const DTypeInfo& dtype = dtype_of(scalar_type);
  PlaneList fields = fields_of(dtype);
  if (planes.size() != fields.count)
    throw_invalid(std::to_string(planes.size()) + " planes, " + std::to_string(fields.count) + " expected for " +
                  std::string(dtype.name));
  std::vector<RowMajor> in;
  for (const Tensor& p : planes) in.push_back(bytes_of(p, "planes"));
  uint64_t symbols = in[0].size, components = dtype.element_bytes / dtype.component_bytes;
  for (const RowMajor& p : in)
    if (p.size != symbols)
      throw_invalid("planes differ in size: " + std::to_string(symbols) + " and " + std::to_string(p.size));
  if (symbols % components)
    throw_invalid(std::to_string(symbols) + " components are not a whole number of " + std::string(dtype.name) +
                  " elements");
  Tensor x = allocate(dtype.dtype, symbols / components);
  uint8_t* out = writable(x);
  for_each_chunk(symbols, [&](uint64_t first, uint64_t count) {
    std::array<const uint8_t*, kMaxPlanes> at;
    for (uint32_t k = 0; k < fields.count; k++) {
      at[k] = in[k].data + first;
      check_symbols(at[k], count, k, fields.symbol_bits[k]);
    }
    join(Transform::kFloatFields, dtype, at.data(), count, out + first * dtype.component_bytes);
  });
  return x;
}

}  // namespace mithril::ops
