#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "csrc/base/buffer_pool.h"
#include "csrc/pybind/buffers.h"
#include "csrc/pybind/module.h"
#include "csrc/store/object_store.h"

namespace py = pybind11;

namespace mithril {

static Tree tree_of(const std::string& name) {
  for (Tree tree : kTrees)
    if (name == tree_name(tree)) return tree;
  throw_invalid("tree '" + name + "' is not objects or records");
}

static py::object read(const ObjectStore& store, const std::string& tree, const std::string& name, uint64_t max_size,
                       bool touch) {
  std::optional<StoredReader> file;
  {
    py::gil_scoped_release release;
    file = store.open(tree_of(tree), name, max_size, touch);
  }
  if (!file) return py::none();
  auto data =
      py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(file->size())));
  if (!data) throw py::error_already_set();
  auto* to = reinterpret_cast<uint8_t*>(PyBytes_AS_STRING(data.ptr()));
  py::gil_scoped_release release;
  advise_huge_pages(to, file->size());
  file->read(to);
  return data;
}

void bind_store(py::module_& m) {
  py::class_<Removed>(m, "Removed")
      .def_property_readonly("files", [](const Removed& r) { return r.files; })
      .def_property_readonly("bytes", [](const Removed& r) { return r.bytes; });

  py::class_<Census>(m, "Census")
      .def_property_readonly("objects", [](const Census& c) { return c.counts[static_cast<int>(Tree::kObjects)]; })
      .def_property_readonly("records", [](const Census& c) { return c.counts[static_cast<int>(Tree::kRecords)]; })
      .def_property_readonly("quarantined", [](const Census& c) { return c.quarantine.files; })
      .def_property_readonly("bytes", [](const Census& c) { return c.totals.bytes; })
      .def_property_readonly("files", [](const Census& c) { return c.totals.files; });

  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<ObjectStore>(m, "ObjectStore")
      .def(py::init([](const std::filesystem::path& root, uint64_t max_bytes, uint64_t max_files, bool read_only) {
             return std::make_unique<ObjectStore>(root.native(), max_bytes, max_files, read_only);
           }),
           py::arg("root"), py::kw_only(), py::arg("max_bytes") = 0, py::arg("max_files") = 0,
           py::arg("read_only") = false)
      .def(
          "put",
          [](ObjectStore& store, const std::string& tree, const std::string& name, const py::object& data) {
            LentBytes lent = borrow(data, false);
            py::gil_scoped_release release;
            return store.put(tree_of(tree), name, lent.view());
          },
          py::arg("tree"), py::arg("name"), py::arg("data"))
      .def("read", &read, py::arg("tree"), py::arg("name"), py::kw_only(), py::arg("max_size") = kMaxStoredBytes,
           py::arg("touch") = true)
      .def(
          "size",
          [](const ObjectStore& s, const std::string& tree, const std::string& name) {
            return s.size(tree_of(tree), name);
          },
          py::arg("tree"), py::arg("name"), Release())
      .def(
          "remove",
          [](ObjectStore& s, const std::string& tree, const std::string& name) {
            return s.remove(tree_of(tree), name);
          },
          py::arg("tree"), py::arg("name"), Release())
      .def(
          "quarantine",
          [](ObjectStore& s, const std::string& tree, const std::string& name) {
            return s.quarantine(tree_of(tree), name);
          },
          py::arg("tree"), py::arg("name"), Release())
      .def(
          "names",
          [](const ObjectStore& s, const std::string& tree, uint8_t first) { return s.names(tree_of(tree), first); },
          py::arg("tree"), py::arg("first"), Release())
      .def("census", &ObjectStore::census, Release())
      .def("gc", &ObjectStore::gc, Release())
      .def("clear", &ObjectStore::clear, Release());
}

}  // namespace mithril
