#pragma once
#include <pybind11/pybind11.h>

namespace mithril {

void bind_errors(pybind11::module_& m);
void bind_base(pybind11::module_& m);
void bind_writer(pybind11::module_& m);
void bind_reader(pybind11::module_& m);
void bind_store(pybind11::module_& m);
void bind_dedup(pybind11::module_& m);
void bind_dedup_index(pybind11::module_& m);
void bind_dedup_pairs(pybind11::module_& m);
void bind_dedup_files(pybind11::module_& m);

}  // namespace mithril
