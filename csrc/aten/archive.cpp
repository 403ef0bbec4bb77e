#include <algorithm>
#include <climits>
#include <cstdlib>
#include <memory>
#include <new>

#include <torch/csrc/stable/ops.h>

#include "csrc/archive/reader.h"
#include "csrc/archive/writer.h"
#include "csrc/aten/ops.h"
#include "csrc/aten/scalar_types.h"
#include "csrc/aten/tensors.h"

namespace mithril::ops {

static int as_int(int64_t value, const char* what) {
  if (value < 0 || value > INT_MAX) throw_invalid(std::string(what) + " " + std::to_string(value) + " is out of range");
  return static_cast<int>(value);
}

Tensor compress(const Tensor& x, int64_t zstd_level, bool split, int64_t block_bytes, int64_t threads) {
  EncoderOptions options;
  options.zstd_level = as_int(zstd_level, "zstd_level");
  options.split = split;
  options.block_bytes = static_cast<uint64_t>(as_int(block_bytes, "block_bytes"));
  TensorView view = view_of(x);
  // At the size it can have at most: pages that are not reached cost nothing, and realloc() gives the rest back in
  // place.
  uint64_t bound = archive_bound(view.numel(), info(view.dtype), options);
  std::unique_ptr<void, decltype(&std::free)> data(std::malloc(bound), &std::free);
  if (!data) throw std::bad_alloc();
  advise_huge_pages(data.get(), bound);
  uint64_t size =
      encode_tensor(std::move(view), options, as_int(threads, "threads"), static_cast<uint8_t*>(data.get()));
  if (void* shrunk = std::realloc(data.get(), size)) static_cast<void>(data.release()), data.reset(shrunk);
  int64_t sizes[] = {static_cast<int64_t>(size)}, strides[] = {1};
  Tensor blob =
      torch::stable::from_blob(data.get(), {sizes, 1}, {strides, 1},
                               torch::stable::Device(torch::headeronly::DeviceType::CPU), ScalarType::Byte, &std::free);
  static_cast<void>(data.release());
  return blob;
}

// The archive in a tensor, opened; its one entry is checked as far as that goes without decoding.
struct MITHRIL_HIDDEN Opened {
  explicit Opened(const Tensor& blob)
      : bytes(bytes_of(blob, "blob")),
        reader(std::make_shared<MemorySource>(ByteView{bytes.data, bytes.size}, nullptr)) {
    if (reader.entries().size() != 1 || reader.entries()[0].kind != EntryKind::kTensor ||
        !reader.entries()[0].name.empty())
      throw_invalid("blob: this is an archive of named tensors; read it with load_file or open_archive");
    reader.table(0);  // before memory is allocated, so that the size is known to be honest
  }
  const Entry& entry() const { return reader.entries()[0]; }
  // `out` is dense in the entry's order.
  void read(const Tensor& out, int64_t threads) const {
    uint64_t elements = entry().numel();
    reader.read({{0, writable(out), elements * info(entry().dtype).element_bytes, 0, elements}},
                as_int(threads, "threads"));
  }

  RowMajor bytes;
  ArchiveReader reader;
};

static std::string text_of(const std::vector<uint64_t>& dims) {
  std::string text;
  for (uint64_t d : dims) text += (text.empty() ? "" : ", ") + std::to_string(d);
  return "[" + text + "]";
}

static void check_dtype(const Entry& entry, const DTypeInfo& wanted) {
  if (entry.dtype != wanted.dtype)
    throw_invalid("the tensor is " + std::string(info(entry.dtype).name) + ", not " + std::string(wanted.name));
}

static void check_shape(const Entry& entry, const std::vector<uint64_t>& wanted) {
  if (entry.dims != wanted)
    throw_invalid("the tensor has the shape " + text_of(entry.dims) + ", not " + text_of(wanted));
}

static std::vector<uint8_t> order_of(const std::vector<int64_t>& wanted, size_t ndim) {
  std::vector<uint8_t> order;
  for (int64_t d : wanted) order.push_back(static_cast<uint8_t>(std::clamp<int64_t>(d, 0, 255)));
  std::vector<uint8_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  if (sorted != row_major(ndim))
    throw_invalid("dim_order is no permutation of the " + std::to_string(ndim) + " dimensions");
  return order;
}

Tensor decompress(const Tensor& blob, std::optional<ScalarType> dtype, const std::optional<std::vector<int64_t>>& shape,
                  const std::optional<std::vector<int64_t>>& dim_order, int64_t threads) {
  Opened archive(blob);
  const Entry& entry = archive.entry();
  if (dtype) check_dtype(entry, dtype_of(*dtype));
  if (shape) check_shape(entry, {shape->begin(), shape->end()});
  Tensor stored = allocate(entry.dtype, entry.dims, entry.dim_order);
  archive.read(stored, threads);
  // Who names the shape must know the strides as well (a traced graph), so they cannot come from the archive.
  std::vector<uint8_t> wanted = dim_order ? order_of(*dim_order, entry.dims.size())
                                : shape   ? row_major(entry.dims.size())
                                          : entry.dim_order;
  if (wanted == entry.dim_order) return stored;
  Tensor out = allocate(entry.dtype, entry.dims, wanted);
  copy(stored, out);
  return out;
}

void decompress_into(const Tensor& blob, const Tensor& out, int64_t threads) {
  Opened archive(blob);
  const Entry& entry = archive.entry();
  check_dtype(entry, dtype_of(out));
  check_shape(entry, dims_of(out));
  if (is_dense(out, entry.dim_order)) return archive.read(out, threads);
  Tensor stored = allocate(entry.dtype, entry.dims, entry.dim_order);
  archive.read(stored, threads);
  copy(stored, out);
}

}  // namespace mithril::ops
