// at::Tensor ↔ memory: strides, storage offset and freed storage are settled here and nowhere else. All functions take
// CPU tensors without conj and neg bits; the dispatcher resolves those before it calls a CPU kernel.
#pragma once
#include <torch/csrc/stable/tensor.h>

#include <vector>

#include "csrc/base/tensor_view.h"

// For types that hold a tensor: torch keeps its stable types out of a library's symbols, so theirs must be, too.
#define MITHRIL_HIDDEN __attribute__((visibility("hidden")))

namespace mithril {

using torch::stable::Tensor;

const DTypeInfo& dtype_of(const Tensor& tensor);
std::vector<uint64_t> dims_of(const Tensor& tensor);

// A tensor's elements in row-major order: its own memory when it is contiguous, else a copy.
struct MITHRIL_HIDDEN RowMajor {
  explicit RowMajor(const Tensor& tensor);
  Tensor owner;
  const uint8_t* data;
  uint64_t size;  // bytes
};

// As RowMajor, for a tensor that must be uint8; `what` names it in the error (invalid_argument).
RowMajor bytes_of(const Tensor& tensor, const char* what);

// The whole tensor for an archive: its own memory in its own order when it is dense, else a row-major copy. The view
// keeps the memory alive.
TensorView view_of(const Tensor& tensor);

// Whether the tensor's memory holds its elements without gaps, outermost to innermost in `dim_order`.
bool is_dense(const Tensor& tensor, const std::vector<uint8_t>& dim_order);

// Uninitialised dense tensors on the CPU.
Tensor allocate(DType dtype, const std::vector<uint64_t>& dims, const std::vector<uint8_t>& dim_order);
Tensor allocate(DType dtype, uint64_t elements);

// Where to write; throws invalid_argument when the storage was freed.
uint8_t* writable(const Tensor& tensor);

// Copies bit for bit between tensors of one dtype and shape, whatever their strides. Throws invalid_argument when
// elements of `to` overlap.
void copy(const Tensor& from, const Tensor& to);

}  // namespace mithril
