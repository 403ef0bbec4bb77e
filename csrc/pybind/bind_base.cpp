#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "csrc/base/cpu.h"
#include "csrc/base/dtype.h"
#include "csrc/base/file.h"
#include "csrc/base/parallel.h"
#include "csrc/coder/coder.h"
#include "csrc/pybind/buffers.h"
#include "csrc/pybind/module.h"

namespace py = pybind11;

namespace mithril {

void bind_base(py::module_& m) {
  m.attr("zstd_version") = zstd_version();
  m.def("dtypes", [] {
    py::list rows;
    for (const DTypeInfo& d : kDTypes) rows.append(py::make_tuple(d.name, static_cast<int>(d.dtype), d.element_bytes));
    return rows;
  });
  m.def("default_threads", &default_threads);
  m.def("isa", [] { return isa_name(isa()); });

  py::class_<OutputFile>(m, "OutputFile")
      .def(py::init([](const std::filesystem::path& path, bool sync, bool overwrite) {
             return std::make_unique<OutputFile>(path.native(), sync, overwrite);
           }),
           py::arg("path"), py::kw_only(), py::arg("sync") = true, py::arg("overwrite") = true)
      .def_property_readonly("bytes_written", &OutputFile::bytes_written)
      .def(
          "write",
          [](OutputFile& file, const py::object& data) {
            LentBytes lent = borrow(data, false);
            py::gil_scoped_release release;
            file.write({lent.view()});
          },
          py::arg("data"))
      .def("commit", &OutputFile::commit, py::call_guard<py::gil_scoped_release>())
      .def("abort", &OutputFile::abort, py::call_guard<py::gil_scoped_release>());
}

}  // namespace mithril
