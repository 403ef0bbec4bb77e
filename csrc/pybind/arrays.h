// NumPy arrays: what a function takes, and what it returns.
#pragma once
#include <pybind11/numpy.h>

#include <vector>

namespace mithril {

template <class T>
using Array = pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>;

// A vector becomes an array without a copy.
template <class T>
pybind11::array_t<T> to_array(std::vector<T>&& values) {
  auto* kept = new std::vector<T>(std::move(values));
  pybind11::capsule owner(kept, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return pybind11::array_t<T>(static_cast<pybind11::ssize_t>(kept->size()), kept->data(), owner);
}

}  // namespace mithril
