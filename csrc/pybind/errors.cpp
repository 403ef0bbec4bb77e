// mithril::Error → the classes of mithril/_errors.py.
#include <pybind11/pybind11.h>

#include <cerrno>
#include <string>

#include "csrc/base/error.h"
#include "csrc/pybind/module.h"

namespace py = pybind11;

namespace mithril {

// Messages quote names and paths, which need not be UTF-8, or were cut.
static py::object text_of(const std::string& bytes) {
  PyObject* text = PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace");
  if (!text) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(text);
}

static py::object path_of(const std::string& bytes) {
  PyObject* path = PyUnicode_DecodeFSDefaultAndSize(bytes.data(), static_cast<Py_ssize_t>(bytes.size()));
  if (!path) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(path);
}

static void raise(const Error& e) {
  py::module_ errors = py::module_::import("mithril._errors");
  if (e.kind() == ErrorKind::kIo) {
    const char* name = e.code() == ENOENT   ? "StorageNotFoundError"
                       : e.code() == EEXIST ? "StorageExistsError"
                                            : "StorageError";
    py::object error = errors.attr(name)(e.code(), text_of(e.what()), path_of(e.path()));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    return;
  }
  const char* name = "MithrilError";
  switch (e.kind()) {
    case ErrorKind::kInvalidArgument: name = "InvalidArgumentError"; break;
    case ErrorKind::kUnsupported: name = "UnsupportedError"; break;
    case ErrorKind::kTruncated: name = "TruncatedError"; break;
    case ErrorKind::kCorrupt: name = "CorruptError"; break;
    case ErrorKind::kNotFound: name = "NotFoundError"; break;
    default: break;
  }
  PyErr_SetObject(errors.attr(name).ptr(), text_of(e.what()).ptr());
}

void bind_errors(py::module_&) {
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& e) {
      raise(e);
    }
  });
}

}  // namespace mithril
