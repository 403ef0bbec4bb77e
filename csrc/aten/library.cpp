// Schemas and kernels of torch.ops.mithril, in torch's stable ABI. The sizes and strides that tracing needs are in
// mithril/ops/_fakes.py.
#include <torch/csrc/stable/library.h>

#include "csrc/aten/ops.h"
#include "csrc/base/error.h"

namespace mithril {

// An exception reaches Python as a RuntimeError with this text; mithril/ops/_call.py reads the kind off again.
static const char* kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalidArgument: return "invalid_argument";
    case ErrorKind::kUnsupported: return "unsupported";
    case ErrorKind::kTruncated: return "truncated";
    case ErrorKind::kCorrupt: return "corrupt";
    case ErrorKind::kNotFound: return "not_found";
    case ErrorKind::kIo: return "io";
  }
  return "unknown";
}

template <auto op>
struct Kernel;

template <class Result, class... Args, Result (*op)(Args...)>
struct Kernel<op> {
  static Result call(Args... args) {
    try {
      return op(args...);
    } catch (const Error& e) {
      throw std::runtime_error(std::string("mithril:") + kind_name(e.kind()) + ": " + e.what());
    }
  }
};

}  // namespace mithril

#define MITHRIL_KERNEL(op) m.impl(#op, TORCH_BOX(&mithril::Kernel<&mithril::ops::op>::call))

STABLE_TORCH_LIBRARY(mithril, m) {
  m.def("byte_group(Tensor x, *, int width=0) -> Tensor");
  m.def("byte_ungroup(Tensor grouped, *, ScalarType? dtype=None, int width=0) -> Tensor");
  m.def("split_float_fields(Tensor x) -> Tensor[]");
  m.def("join_float_fields(Tensor[] planes, ScalarType dtype) -> Tensor");
  m.def("float_field_bits(ScalarType dtype) -> int[]");
  m.def("compress(Tensor x, *, int zstd_level=3, bool split=True, int block_bytes=524288, int threads=0) -> Tensor");
  m.def(
      "decompress(Tensor blob, *, ScalarType? dtype=None, SymInt[]? shape=None, int[]? dim_order=None, "
      "int threads=0) -> Tensor");
  m.def("decompress_into(Tensor blob, Tensor(a!) out, *, int threads=0) -> ()");
  m.def("minhash(Tensor tokens, Tensor offsets, *, int ngram_size=1, int num_permutations=128, int seed=1) -> Tensor");
  m.def("minhash_bands(Tensor minima, *, int num_bands, int num_rows) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(mithril, CPU, m) {
  MITHRIL_KERNEL(byte_group);
  MITHRIL_KERNEL(byte_ungroup);
  MITHRIL_KERNEL(split_float_fields);
  MITHRIL_KERNEL(join_float_fields);
  MITHRIL_KERNEL(compress);
  MITHRIL_KERNEL(decompress);
  MITHRIL_KERNEL(decompress_into);
  MITHRIL_KERNEL(minhash);
  MITHRIL_KERNEL(minhash_bands);
}

// It takes no tensor, so there is no device to dispatch on.
STABLE_TORCH_LIBRARY_IMPL(mithril, CompositeExplicitAutograd, m) { MITHRIL_KERNEL(float_field_bits); }
