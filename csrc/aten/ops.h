// The operators torch.ops.mithril.*, CPU. Schemas: library.cpp; the Python face with the documentation: mithril/ops.
// All throw mithril::Error; results are new tensors on the CPU.
#pragma once
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <vector>

namespace mithril::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// fields.cpp: the transforms of docs/format.md 6.2 and 6.3 on whole tensors, in row-major order.
Tensor byte_group(const Tensor& x, int64_t width);
Tensor byte_ungroup(const Tensor& grouped, std::optional<ScalarType> dtype, int64_t width);
std::vector<Tensor> split_float_fields(const Tensor& x);
Tensor join_float_fields(const std::vector<Tensor>& planes, ScalarType dtype);
std::vector<int64_t> float_field_bits(ScalarType dtype);

// archive.cpp: archives that hold one tensor of empty name.
Tensor compress(const Tensor& x, int64_t zstd_level, bool split, int64_t block_bytes, int64_t threads);
Tensor decompress(const Tensor& blob, std::optional<ScalarType> dtype, const std::optional<std::vector<int64_t>>& shape,
                  const std::optional<std::vector<int64_t>>& dim_order, int64_t threads);
void decompress_into(const Tensor& blob, const Tensor& out, int64_t threads);

// minhash.cpp: sketches of rows of integers.
Tensor minhash(const Tensor& tokens, const Tensor& offsets, int64_t ngram_size, int64_t num_permutations, int64_t seed);
Tensor minhash_bands(const Tensor& minima, int64_t num_bands, int64_t num_rows);

}  // namespace mithril::ops
