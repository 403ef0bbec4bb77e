#include "csrc/aten/tensors.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>

#include "csrc/aten/scalar_types.h"
#include "csrc/base/buffer_pool.h"
#include "csrc/base/ids.h"

namespace mithril {

using torch::headeronly::ScalarType;

static int32_t scalar_type_of(const Tensor& tensor) {
  int32_t scalar_type;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor.get(), &scalar_type));
  return scalar_type;
}

const DTypeInfo& dtype_of(const Tensor& tensor) { return dtype_of(scalar_type_of(tensor)); }

std::vector<uint64_t> dims_of(const Tensor& tensor) {
  auto sizes = tensor.sizes();
  return {sizes.begin(), sizes.end()};
}

// FSDP frees the storage of a tensor that lives on: touching it would be a crash.
static void check_storage(const Tensor& tensor) {
  if (tensor.numel() == 0) return;
  int64_t last = tensor.storage_offset(), bytes;
  for (int64_t d = 0; d < tensor.dim(); d++) last += (tensor.size(d) - 1) * tensor.stride(d);
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_storage_size(tensor.get(), &bytes));
  if ((last + 1) * static_cast<int64_t>(tensor.element_size()) > bytes)
    throw_invalid("the storage of the tensor has been freed");
}

// The same memory as integers (pairs of doubles for 16 bytes): copying those is exact, and some dtypes lack copies.
static Tensor carrier(const Tensor& tensor) {
  check_storage(tensor);
  ScalarType type = ScalarType::Byte;
  switch (tensor.element_size()) {
    case 2: type = ScalarType::Short; break;
    case 4: type = ScalarType::Int; break;
    case 8: type = ScalarType::Long; break;
    case 16: type = ScalarType::ComplexDouble; break;
    default: break;
  }
  return torch::stable::from_blob(const_cast<void*>(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                                  torch::stable::Device(torch::headeronly::DeviceType::CPU), type);
}

void copy(const Tensor& from, const Tensor& to) {
  for (int64_t d = 0; d < to.dim(); d++)
    if (to.stride(d) == 0 && to.size(d) > 1) throw_invalid("out: its elements share memory, as of an expanded tensor");
  writable(to);
  Tensor target = carrier(to);
  torch::stable::copy_(target, carrier(from));
}

uint8_t* writable(const Tensor& tensor) {
  check_storage(tensor);
  return static_cast<uint8_t*>(tensor.mutable_data_ptr());
}

RowMajor::RowMajor(const Tensor& tensor) : owner(tensor) {
  const DTypeInfo& dtype = dtype_of(tensor);
  check_storage(tensor);
  if (!tensor.is_contiguous()) {
    owner = allocate(dtype.dtype, dims_of(tensor), row_major(tensor.dim()));
    copy(tensor, owner);
  }
  data = static_cast<const uint8_t*>(owner.const_data_ptr());
  size = static_cast<uint64_t>(tensor.numel()) * dtype.element_bytes;
}

RowMajor bytes_of(const Tensor& tensor, const char* what) {
  if (scalar_type_of(tensor) != aoti_torch_dtype_uint8())
    throw_invalid(std::string(what) + ": a uint8 tensor is expected");
  return RowMajor(tensor);
}

bool is_dense(const Tensor& tensor, const std::vector<uint8_t>& dim_order) {
  if (tensor.numel() == 0) return true;
  int64_t expected = 1;
  for (auto d = dim_order.rbegin(); d != dim_order.rend(); d++) {
    // The stride of a dimension of size 1 means nothing.
    if (tensor.size(*d) != 1 && tensor.stride(*d) != expected) return false;
    expected *= tensor.size(*d);
  }
  return true;
}

TensorView view_of(const Tensor& tensor) {
  if (static_cast<uint64_t>(tensor.dim()) > kMaxDims)
    throw_invalid(std::to_string(tensor.dim()) + " dimensions exceed the limit 64");
  TensorView view;
  view.dtype = dtype_of(tensor).dtype;
  view.dims = dims_of(tensor);
  view.dim_order = row_major(view.dims.size());
  if (!tensor.is_contiguous()) {
    std::vector<uint8_t> order = view.dim_order;
    auto strides = tensor.strides();
    std::stable_sort(order.begin(), order.end(), [&](uint8_t a, uint8_t b) { return strides[a] > strides[b]; });
    if (is_dense(tensor, order)) {
      check_storage(tensor);
      view.dim_order = order;
      view.keeper = std::make_shared<Tensor>(tensor);
      view.data = static_cast<const uint8_t*>(tensor.const_data_ptr());
      return view;
    }
  }
  auto row = std::make_shared<RowMajor>(tensor);
  view.data = row->data;
  view.keeper = std::move(row);
  return view;
}

Tensor allocate(DType dtype, const std::vector<uint64_t>& dims, const std::vector<uint8_t>& dim_order) {
  std::vector<int64_t> sizes(dims.begin(), dims.end()), strides(dims.size());
  int64_t stride = 1;
  for (auto d = dim_order.rbegin(); d != dim_order.rend(); d++) {
    strides[*d] = stride;
    stride *= std::max<int64_t>(1, sizes[*d]);  // what torch does for empty tensors
  }
  AtenTensorHandle handle;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.data(),
                                                         strides.data(), scalar_type_of(dtype),
                                                         aoti_torch_device_type_cpu(), 0, &handle));
  Tensor tensor(handle);
  advise_huge_pages(tensor.mutable_data_ptr(), TensorView::count(dims) * info(dtype).element_bytes);
  return tensor;
}

Tensor allocate(DType dtype, uint64_t elements) { return allocate(dtype, {elements}, {0}); }

}  // namespace mithril
