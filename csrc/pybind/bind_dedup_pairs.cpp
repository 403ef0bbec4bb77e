// The decisions of deduplicate() on pairs that the caller found, for jobs whose texts and sketches lie elsewhere.
#include <pybind11/pybind11.h>

#include "csrc/base/error.h"
#include "csrc/base/parallel.h"
#include "csrc/dedup/deduplicate.h"
#include "csrc/dedup/similarity.h"
#include "csrc/dedup/sketcher.h"
#include "csrc/dedup/words.h"
#include "csrc/pybind/arrays.h"
#include "csrc/pybind/module.h"

namespace py = pybind11;

namespace mithril {

using namespace dedup;

namespace {

constexpr size_t kTask = 64;  // pairs that one thread takes at a time

size_t check_digests(const Array<uint8_t>& a, const Array<uint8_t>& b, uint64_t bytes) {
  for (const Array<uint8_t>* digests : {&a, &b})
    if (digests->ndim() != 2 || static_cast<uint64_t>(digests->shape(1)) != bytes)
      throw_invalid("digests are not rows of " + std::to_string(bytes) + " bytes");
  if (a.shape(0) != b.shape(0))
    throw_invalid("there are " + std::to_string(a.shape(0)) + " and " + std::to_string(b.shape(0)) + " digests");
  return static_cast<size_t>(a.shape(0));
}

// Of each pair of digests the estimated similarity, and whether the pair may be near by it: when the texts decide, it
// may unless the estimate is far below the threshold.
py::tuple compare_digests(const Array<uint8_t>& a, const Array<uint8_t>& b, const DedupOptions& options) {
  const Sketcher sketcher(options.rules, options.shape);
  const uint64_t bytes = sketcher.digest_bytes();
  const size_t n = check_digests(a, b, bytes);
  const int least = least_agreement(options);
  py::array_t<float> estimates(static_cast<py::ssize_t>(n));
  py::array_t<bool> near(static_cast<py::ssize_t>(n));
  float* to_estimates = estimates.mutable_data();
  bool* to_near = near.mutable_data();
  const uint8_t *of_a = a.data(), *of_b = b.data();
  {
    py::gil_scoped_release release;
    for (size_t i = 0; i < n; i++) {
      const double estimate = sketcher.estimate(of_a + i * bytes, of_b + i * bytes);
      to_estimates[i] = static_cast<float>(estimate);
      to_near[i] = options.verify ? sketcher.agreement(of_a + i * bytes, of_b + i * bytes) >= least
                                  : estimate >= options.threshold;
    }
  }
  return py::make_tuple(estimates, near);
}

// similarity(comparer of text a, text b) of each pair. Pairs with the same a in a row cost less.
template <class Similarity>
py::array_t<float> each_pair(const Texts& texts_a, const Texts& texts_b, const Array<uint32_t>& a,
                             const Array<uint32_t>& b, const DedupOptions& options, Similarity similarity) {
  if (a.size() != b.size())
    throw_invalid("a and b have " + std::to_string(a.size()) + " and " + std::to_string(b.size()) + " entries");
  const auto n = static_cast<size_t>(a.size());
  const uint32_t *of_a = a.data(), *of_b = b.data();
  for (size_t i = 0; i < n; i++)
    if (of_a[i] >= texts_a.count() || of_b[i] >= texts_b.count())
      throw_invalid("pair " + std::to_string(i) + " names a text that is not there");
  py::array_t<float> result(static_cast<py::ssize_t>(n));
  float* to = result.mutable_data();
  const auto words = std::make_shared<const Words>(options.rules);
  py::gil_scoped_release release;
  parallel_for((n + kTask - 1) / kTask, options.threads, [&](size_t task) {
    Comparer comparer(words);
    std::string memory_a, memory_b;
    for (size_t i = task * kTask; i < std::min(n, (task + 1) * kTask); i++) {
      if (i == task * kTask || of_a[i] != of_a[i - 1]) comparer.set(texts_a.text(of_a[i], memory_a));
      to[i] = static_cast<float>(similarity(comparer, texts_b.text(of_b[i], memory_b)));
    }
  });
  return result;
}

// Of each pair of texts the exact similarity.
py::array_t<float> compare_pairs(const Texts& texts_a, const Texts& texts_b, const Array<uint32_t>& a,
                                 const Array<uint32_t>& b, const DedupOptions& options) {
  return each_pair(texts_a, texts_b, a, b, options, [&](Comparer& comparer, std::string_view text) {
    return comparer.compare(text).similarity_of_a(options.measure);
  });
}

// The same where it reaches the threshold, else 0, which is known sooner.
py::array_t<float> near_pairs(const Texts& texts_a, const Texts& texts_b, const Array<uint32_t>& a,
                              const Array<uint32_t>& b, const DedupOptions& options) {
  return each_pair(texts_a, texts_b, a, b, options, [&](Comparer& comparer, std::string_view text) {
    double exact;
    return comparer.reaches(text, options.measure, options.threshold, &exact) ? exact : 0;
  });
}

}  // namespace

void bind_dedup_pairs(py::module_& m) {
  m.def("compare_digests", &compare_digests, py::arg("a"), py::arg("b"), py::arg("options"));
  m.def("compare_pairs", &compare_pairs, py::arg("texts_a"), py::arg("texts_b"), py::arg("a"), py::arg("b"),
        py::arg("options"));
  m.def("near_pairs", &near_pairs, py::arg("texts_a"), py::arg("texts_b"), py::arg("a"), py::arg("b"),
        py::arg("options"));
}

}  // namespace mithril
