#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "csrc/archive/writer.h"
#include "csrc/pybind/buffers.h"
#include "csrc/pybind/convert.h"
#include "csrc/pybind/module.h"

namespace py = pybind11;

namespace mithril {

static TensorView view_of(const std::string& name, const py::object& data, const std::string& dtype,
                          std::vector<uint64_t> shape, const std::optional<std::vector<uint64_t>>& dim_order) {
  const DTypeInfo* d = find_dtype(dtype);
  if (!d) throw_unsupported("'" + name + "': dtype '" + dtype + "' is not known");
  LentBytes lent = borrow(data, false);
  TensorView view;
  view.data = lent.data, view.keeper = lent.keeper, view.dtype = d->dtype, view.dims = std::move(shape);
  if (view.dims.size() > kMaxDims)
    throw_invalid("'" + name + "': " + std::to_string(view.dims.size()) + " dimensions exceed the limit 64");
  view.dim_order = row_major(view.dims.size());
  if (dim_order) {
    view.dim_order.clear();
    for (uint64_t k : *dim_order) view.dim_order.push_back(static_cast<uint8_t>(std::min<uint64_t>(k, 255)));
  }
  uint64_t expected = checked_numel(view.dims, d->element_bytes) * d->element_bytes;
  if (lent.size != expected)
    throw_invalid("'" + name + "': " + std::to_string(lent.size) + " bytes of data, " + std::to_string(expected) +
                  " expected for its shape and dtype");
  return view;
}

static EncoderOptions options_of(int zstd_level, bool split, uint64_t block_bytes) {
  EncoderOptions o;
  o.zstd_level = zstd_level, o.split = split, o.block_bytes = block_bytes;
  return o;
}

static EntryKind kind_of(const std::string& kind) {
  if (kind == "tensor") return EntryKind::kTensor;
  if (kind == "value") return EntryKind::kValue;
  if (kind == "foreign") return EntryKind::kForeign;
  throw_invalid("kind '" + kind + "' is not tensor, value or foreign");
}

static uint64_t compress_bound(uint64_t elements, const std::string& dtype, uint64_t block_bytes) {
  const DTypeInfo* d = find_dtype(dtype);
  if (!d) throw_unsupported("dtype '" + dtype + "' is not known");
  EncoderOptions options = options_of(3, true, block_bytes);
  options.check();
  return archive_bound(checked_numel({elements}, d->element_bytes), *d, options);
}

// Returns the size; the rest of `out` is not touched.
static uint64_t compress_into(const py::object& data, const std::string& dtype, std::vector<uint64_t> shape,
                              const py::object& out, int zstd_level, bool split, uint64_t block_bytes, int threads) {
  TensorView view = view_of("data", data, dtype, std::move(shape), std::nullopt);
  EncoderOptions options = options_of(zstd_level, split, block_bytes);
  options.check();
  LentBytes to = borrow(out, true);
  uint64_t bound = archive_bound(view.numel(), info(view.dtype), options);
  if (to.size < bound)
    throw_invalid("out has " + std::to_string(to.size) + " bytes, up to " + std::to_string(bound) + " are needed");
  if (view.bytes() > 0 && view.data < to.data + to.size && to.data < view.data + view.bytes())
    throw_invalid("out and the data share memory");
  py::gil_scoped_release release;
  return encode_tensor(std::move(view), options, threads, to.data);
}

static py::bytes compress(const py::object& data, const std::string& dtype, std::vector<uint64_t> shape, int zstd_level,
                          bool split, uint64_t block_bytes, int threads) {
  TensorView view = view_of("data", data, dtype, std::move(shape), std::nullopt);
  EncoderOptions options = options_of(zstd_level, split, block_bytes);
  options.check();
  // At the size it can have at most: pages that are not reached cost nothing, and resizing gives the rest back in
  // place.
  uint64_t bound = archive_bound(view.numel(), info(view.dtype), options);
  PyObject* out = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(bound));
  if (!out) throw py::error_already_set();
  auto owned = py::reinterpret_steal<py::object>(out);
  uint64_t size;
  {
    py::gil_scoped_release release;
    advise_huge_pages(PyBytes_AS_STRING(out), bound);
    size = encode_tensor(std::move(view), options, threads, reinterpret_cast<uint8_t*>(PyBytes_AS_STRING(out)));
  }
  out = owned.release().ptr();
  if (_PyBytes_Resize(&out, static_cast<Py_ssize_t>(size)) != 0) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(out);
}

void bind_writer(py::module_& m) {
  py::class_<Part>(m, "Part", py::buffer_protocol())
      .def_property_readonly("size", [](const Part& p) { return p.size; })
      .def_buffer([](Part& p) {
        return py::buffer_info(p.buffer->data(), 1, "B", 1, {static_cast<py::ssize_t>(p.size)}, {1}, true);
      });

  py::class_<ArchiveWriter>(m, "ArchiveWriter")
      .def(py::init([](int zstd_level, bool split, uint64_t block_bytes, int threads) {
             return std::make_unique<ArchiveWriter>(options_of(zstd_level, split, block_bytes), threads);
           }),
           py::kw_only(), py::arg("zstd_level") = 3, py::arg("split") = true, py::arg("block_bytes") = 524288,
           py::arg("threads") = 0)
      .def(
          "add",
          [](ArchiveWriter& w, const std::string& name, const py::object& data, const std::string& dtype,
             std::vector<uint64_t> shape, const std::optional<std::vector<uint64_t>>& dim_order,
             const std::string& kind) {
            EntryKind k = kind_of(kind);
            TensorView view = view_of(name, data, dtype, std::move(shape), dim_order);
            py::gil_scoped_release release;  // the writer's lock may be held by one who needs the GIL to let go of data
            return w.add(name, k, std::move(view));
          },
          py::arg("name"), py::arg("data"), py::arg("dtype"), py::arg("shape"), py::kw_only(),
          py::arg("dim_order") = py::none(), py::arg("kind") = "tensor")
      .def("add_alias", &ArchiveWriter::add_alias, py::arg("name"), py::arg("target"),
           py::call_guard<py::gil_scoped_release>())
      .def("finish", &ArchiveWriter::finish, py::arg("metadata") = std::map<std::string, std::string>(),
           py::call_guard<py::gil_scoped_release>())
      .def("next_part", &ArchiveWriter::next_part, py::arg("size"), py::call_guard<py::gil_scoped_release>())
      .def("drain", &ArchiveWriter::drain, py::arg("file"), py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("pending_bytes", &ArchiveWriter::pending_bytes)
      .def_property_readonly("raw_bytes", &ArchiveWriter::raw_bytes)
      .def_property_readonly("archive_size", &ArchiveWriter::archive_size)
      .def_property_readonly("content_id", [](const ArchiveWriter& w) { return hex(w.content_id()); });

  m.def("compress", &compress, py::arg("data"), py::arg("dtype"), py::arg("shape"), py::kw_only(),
        py::arg("zstd_level") = 3, py::arg("split") = true, py::arg("block_bytes") = 524288, py::arg("threads") = 0);
  m.def("compress_into", &compress_into, py::arg("data"), py::arg("dtype"), py::arg("shape"), py::arg("out"),
        py::kw_only(), py::arg("zstd_level") = 3, py::arg("split") = true, py::arg("block_bytes") = 524288,
        py::arg("threads") = 0);
  m.def("compress_bound", &compress_bound, py::arg("elements"), py::arg("dtype"), py::kw_only(),
        py::arg("block_bytes") = 524288);
}

}  // namespace mithril
