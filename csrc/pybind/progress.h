// Progress of long jobs, told to a Python callable; and Ctrl-C noticed, whether there is one or not.
#pragma once
#include <pybind11/pybind11.h>

#include <memory>

#include "csrc/dedup/deduplicate.h"

namespace mithril {

// Calls callable(stage, done, total) unless it is None. For jobs that run without the GIL; what Python raises ends the
// job.
inline dedup::Progress progress_of(const pybind11::object& callable) {
  auto kept = std::make_shared<pybind11::object>(callable);  // copies must not touch the count of references
  return [kept](const char* stage, uint64_t done, uint64_t total) {
    pybind11::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    if (!kept->is_none()) (*kept)(stage, done, total);
  };
}

}  // namespace mithril
