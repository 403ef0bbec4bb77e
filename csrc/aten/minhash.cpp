// Sketches of rows of integers: what csrc/dedup makes of texts, for those who cut and number the words themselves.
#include <algorithm>
#include <vector>

#include "csrc/aten/ops.h"
#include "csrc/aten/tensors.h"
#include "csrc/base/parallel.h"
#include "csrc/dedup/band_hashes.h"
#include "csrc/dedup/sketcher.h"

namespace mithril::ops {

using dedup::Sketcher;
using dedup::SketchShape;

static constexpr uint64_t kRowsPerShare = 64;          // that a thread takes at a time
static constexpr uint64_t kBase = 0xa24baed4963ee407;  // of the polynomial that a shingle is: odd
static constexpr int64_t kEmptyMinimum = 0xffffffff;   // of no shingle at all

static uint64_t mix(uint64_t h) {  // SplitMix64
  h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
  h = (h ^ h >> 27) * 0x94d049bb133111ebu;
  return h ^ h >> 31;
}

namespace {

// Numbers of tokens, row-major, of one of three dtypes; as 64 bits, so that equal numbers are equal in all of them.
struct MITHRIL_HIDDEN Tokens {
  explicit Tokens(const Tensor& tensor) : raw(tensor), dtype(dtype_of(tensor).dtype) {
    if (tensor.dim() != 1) throw_invalid("tokens has " + std::to_string(tensor.dim()) + " dimensions, 1 is expected");
    if (dtype != DType::kInt32 && dtype != DType::kUInt32 && dtype != DType::kInt64)
      throw_invalid("tokens is " + std::string(dtype_of(tensor).name) + ", int32, uint32 or int64 is expected");
  }
  uint64_t count() const { return raw.size / (dtype == DType::kInt64 ? 8 : 4); }
  uint64_t at(uint64_t i) const {
    switch (dtype) {
      case DType::kInt32: return static_cast<uint64_t>(int64_t{reinterpret_cast<const int32_t*>(raw.data)[i]});
      case DType::kUInt32: return reinterpret_cast<const uint32_t*>(raw.data)[i];
      default: return reinterpret_cast<const uint64_t*>(raw.data)[i];
    }
  }
  RowMajor raw;
  DType dtype;
};

}  // namespace

static RowMajor int64_of(const Tensor& tensor, const char* what, int64_t dims) {
  if (dtype_of(tensor).dtype != DType::kInt64 || tensor.dim() != dims)
    throw_invalid(std::string(what) + " is not int64 of " + std::to_string(dims) +
                  (dims == 1 ? " dimension" : " dimensions"));
  return RowMajor(tensor);
}

static void check_offsets(const int64_t* offsets, uint64_t count, uint64_t tokens) {
  int64_t previous = 0;
  for (uint64_t i = 0; i < count; i++) {
    if (offsets[i] < previous || static_cast<uint64_t>(offsets[i]) > tokens)
      throw_invalid("offsets[" + std::to_string(i) + "] is " + std::to_string(offsets[i]) + ", not from " +
                    std::to_string(previous) + " to " + std::to_string(tokens));
    previous = offsets[i];
  }
}

// 32-bit hashes of all n tokens in a row; fewer than n are one shingle, of another kind.
static void hash_shingles(const Tokens& tokens, uint64_t first, uint64_t count, uint64_t n,
                          std::vector<uint64_t>& words, std::vector<uint32_t>& shingles) {
  words.resize(count), shingles.clear();
  for (uint64_t i = 0; i < count; i++) words[i] = mix(tokens.at(first + i) + 0x9e3779b97f4a7c15u);
  uint64_t size = std::min(n, count), kind = count < n ? count : 0;
  for (uint64_t i = 0; i + size <= count; i++) {
    uint64_t h = kind;
    for (uint64_t k = 0; k < size; k++) h = h * kBase + words[i + k];
    shingles.push_back(static_cast<uint32_t>(mix(h) >> 32));
  }
}

static int checked_int(const char* field, int64_t value, int64_t limit) {
  if (value < 1 || value > limit)
    throw_invalid(std::string(field) + " " + std::to_string(value) + " is not within 1 to " + std::to_string(limit));
  return static_cast<int>(value);
}

Tensor minhash(const Tensor& tokens, const Tensor& offsets, int64_t ngram_size, int64_t num_permutations,
               int64_t seed) {
  Tokens in(tokens);
  RowMajor ends = int64_of(offsets, "offsets", 1);
  const auto* at = reinterpret_cast<const int64_t*>(ends.data);
  if (ends.size == 0) throw_invalid("offsets is empty: it has one entry more than there are rows");
  uint64_t rows = ends.size / 8 - 1;
  check_offsets(at, rows + 1, in.count());
  int n = checked_int("ngram_size", ngram_size, dedup::kMaxNgramSize);
  int permutations = checked_int("num_permutations", num_permutations, dedup::kMaxPermutations);
  const Sketcher sketcher({}, SketchShape{permutations, 1, 1, static_cast<uint64_t>(seed)});
  Tensor minima = allocate(DType::kInt64, {rows, static_cast<uint64_t>(permutations)}, {0, 1});
  auto* to = reinterpret_cast<int64_t*>(writable(minima));
  parallel_for(ceil_div(rows, kRowsPerShare), 0, [&](size_t share) {
    std::vector<uint64_t> words;
    std::vector<uint32_t> shingles, values(static_cast<size_t>(permutations));
    for (uint64_t r = share * kRowsPerShare; r < std::min(rows, (share + 1) * kRowsPerShare); r++) {
      int64_t* row = to + r * static_cast<uint64_t>(permutations);
      if (at[r] == at[r + 1]) {
        std::fill_n(row, permutations, kEmptyMinimum);
        continue;
      }
      hash_shingles(in, static_cast<uint64_t>(at[r]), static_cast<uint64_t>(at[r + 1] - at[r]),
                    static_cast<uint64_t>(n), words, shingles);
      sketcher.minima(shingles.data(), shingles.size(), values.data());
      std::copy(values.begin(), values.end(), row);
    }
  });
  return minima;
}

Tensor minhash_bands(const Tensor& minima, int64_t num_bands, int64_t num_rows) {
  RowMajor in = int64_of(minima, "minima", 2);
  std::vector<uint64_t> dims = dims_of(minima);
  SketchShape shape;
  shape.permutations = checked_int("num_permutations", static_cast<int64_t>(dims[1]), dedup::kMaxPermutations);
  shape.bands = checked_int("num_bands", num_bands, shape.permutations);
  shape.rows = checked_int("num_rows", num_rows, shape.permutations / shape.bands);
  const auto* from = reinterpret_cast<const uint64_t*>(in.data);
  for (uint64_t i = 0; i < in.size / 8; i++)
    if (from[i] >> 32) throw_invalid("minima: a value is not from 0 to 4294967295");
  Tensor bands = allocate(DType::kInt64, {dims[0], static_cast<uint64_t>(shape.bands)}, {0, 1});
  auto* to = reinterpret_cast<uint64_t*>(writable(bands));
  parallel_for(ceil_div(dims[0], kRowsPerShare), 0, [&](size_t share) {
    std::vector<uint32_t> row(dims[1]);
    for (uint64_t r = share * kRowsPerShare; r < std::min(dims[0], (share + 1) * kRowsPerShare); r++) {
      std::copy_n(from + r * dims[1], dims[1], row.begin());
      dedup::hash_bands(row.data(), shape, to + r * static_cast<uint64_t>(shape.bands));
    }
  });
  return bands;
}

}  // namespace mithril::ops
