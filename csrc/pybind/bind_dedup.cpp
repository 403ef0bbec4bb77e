#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "csrc/base/checksum.h"
#include "csrc/base/object_pool.h"
#include "csrc/base/parallel.h"
#include "csrc/dedup/deduplicate.h"
#include "csrc/dedup/similarity.h"
#include "csrc/dedup/sketcher.h"
#include "csrc/pybind/arrays.h"
#include "csrc/pybind/module.h"
#include "csrc/pybind/progress.h"
#include "csrc/pybind/python_texts.h"

namespace py = pybind11;

namespace mithril {

using namespace dedup;

namespace {

constexpr size_t kTask = 64;  // texts, or pairs, that one thread takes at a time

template <class Choice>
Choice choose(const char* field, const std::string& value,
              std::initializer_list<std::pair<const char*, Choice>> choices) {
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (value == name) return choice;
    names += std::string(names.empty() ? "" : ", ") + name;
  }
  throw_invalid(std::string(field) + " '" + value + "' is not one of " + names);
}

DedupOptions make_options(double threshold, int permutations, int ngram_size, int bands, int rows,
                          const std::string& measure, bool verify, const std::string& clusters, const std::string& form,
                          bool fold_case, bool ignore_punctuation, const std::string& empty, uint64_t seed,
                          int threads) {
  DedupOptions o;
  o.threshold = threshold, o.verify = verify, o.threads = threads;
  o.rules.form = choose<NormalForm>(
      "normalization", form, {{"NFC", NormalForm::kNfc}, {"NFKC", NormalForm::kNfkc}, {"none", NormalForm::kNone}});
  o.rules.fold_case = fold_case, o.rules.ignore_punctuation = ignore_punctuation, o.rules.ngram_size = ngram_size;
  o.measure =
      choose<Measure>("measure", measure, {{"jaccard", Measure::kJaccard}, {"containment", Measure::kContainment}});
  o.clusters =
      choose<Clusters>("clusters", clusters, {{"star", Clusters::kStar}, {"components", Clusters::kComponents}});
  o.empty = choose<Empty>("empty", empty, {{"keep", Empty::kKeep}, {"remove", Empty::kRemove}});
  o.shape =
      bands == 0 ? shape_for(threshold, permutations, seed, o.measure) : SketchShape{permutations, bands, rows, seed};
  check(o.rules), check(o.shape);
  return o;
}

py::dict as_dict(const DedupStats& stats) {
  py::dict d;
  d["documents"] = stats.documents, d["bytes"] = stats.bytes;
  d["exact_duplicates"] = stats.exact_duplicates, d["empty"] = stats.empty;
  d["candidate_pairs"] = stats.candidate_pairs, d["verified_pairs"] = stats.verified_pairs;
  d["accepted_pairs"] = stats.accepted_pairs, d["full_buckets"] = stats.full_buckets;
  return d;
}

py::tuple run(const Texts& texts, const DedupOptions& options, const std::optional<Array<uint32_t>>& order,
              const py::object& progress) {
  std::vector<uint32_t> preferred;
  if (order) preferred.assign(order->data(), order->data() + order->size());
  const Progress report = progress_of(progress);
  DedupResult result;
  {
    py::gil_scoped_release release;
    result = deduplicate(texts, options, preferred, report);
  }
  return py::make_tuple(to_array(std::move(result.removed_by)), to_array(std::move(result.similarity)),
                        as_dict(result.stats));
}

// Keys, digests, 128-bit hashes and emptiness of texts start … stop − 1.
py::tuple sketch(const Texts& texts, const DedupOptions& options, uint64_t start, uint64_t stop) {
  if (start > stop || stop > texts.count())
    throw_invalid("texts " + std::to_string(start) + " to " + std::to_string(stop) + " are not within 0 to " +
                  std::to_string(texts.count()));
  const Sketcher sketcher(options.rules, options.shape);
  const size_t n = stop - start, bands = static_cast<size_t>(options.shape.bands), bytes = sketcher.digest_bytes();
  py::array_t<uint32_t> keys({n, bands});
  py::array_t<uint8_t> digests({n, bytes});
  py::array_t<uint64_t> hashes({n, size_t{2}});
  py::array_t<bool> empty(static_cast<py::ssize_t>(n));
  uint32_t* to_keys = keys.mutable_data();
  uint8_t* to_digests = digests.mutable_data();
  uint64_t* to_hashes = hashes.mutable_data();
  bool* to_empty = empty.mutable_data();
  {
    py::gil_scoped_release release;
    parallel_for((n + kTask - 1) / kTask, options.threads, [&](size_t task) {
      const auto scratch = sketcher.scratch();
      std::string memory;
      for (size_t i = task * kTask; i < std::min(n, (task + 1) * kTask); i++) {
        const std::string_view text = texts.text(start + i, memory);
        const Hash128 hash = xxh3_128(text.data(), text.size());
        to_hashes[2 * i] = hash.low, to_hashes[2 * i + 1] = hash.high;
        try {
          to_empty[i] = !sketcher.sketch(text, *scratch, to_keys + i * bands, to_digests + i * bytes);
        } catch (const Error& error) {
          throw Error(error.kind(), "document " + std::to_string(start + i) + ": " + error.what());
        }
        if (to_empty[i])
          std::fill_n(to_keys + i * bands, bands, 0u), std::fill_n(to_digests + i * bytes, bytes, uint8_t{0});
      }
    });
  }
  return py::make_tuple(keys, digests, hashes, empty);
}

// Bytes of each text, and its 128-bit hash.
py::tuple sizes_and_hashes(const Texts& texts, int threads) {
  const size_t n = texts.count();
  py::array_t<int64_t> sizes(static_cast<py::ssize_t>(n));
  py::array_t<uint64_t> hashes({n, size_t{2}});
  int64_t* to_sizes = sizes.mutable_data();
  uint64_t* to_hashes = hashes.mutable_data();
  {
    py::gil_scoped_release release;
    parallel_for((n + kTask - 1) / kTask, threads, [&](size_t task) {
      std::string memory;
      for (size_t i = task * kTask; i < std::min(n, (task + 1) * kTask); i++) {
        const std::string_view text = texts.text(i, memory);
        const Hash128 hash = xxh3_128(text.data(), text.size());
        to_sizes[i] = static_cast<int64_t>(text.size());
        to_hashes[2 * i] = hash.low, to_hashes[2 * i + 1] = hash.high;
      }
    });
  }
  return py::make_tuple(sizes, hashes);
}

double similarity(const std::string& a, const std::string& b, const DedupOptions& options) {
  Comparer comparer(options.rules);
  comparer.set(a);
  return comparer.compare(b).similarity_of_a(options.measure);
}

double estimate(const std::string& a, const std::string& b, const DedupOptions& options) {
  const Sketcher sketcher(options.rules, options.shape);
  const auto scratch = sketcher.scratch();
  std::vector<uint32_t> keys(static_cast<size_t>(options.shape.bands));
  std::vector<uint8_t> digests[2];
  for (const auto& [text, i] : {std::pair(&a, 0), std::pair(&b, 1)}) {
    digests[i].resize(sketcher.digest_bytes());
    if (!sketcher.sketch(*text, *scratch, keys.data(), digests[i].data())) return 0;
  }
  return sketcher.estimate(digests[0].data(), digests[1].data());
}

std::vector<ArrowChunk> chunks_of(const py::list& list) {
  std::vector<ArrowChunk> chunks;
  for (const py::handle& item : list) {
    const auto t = item.cast<py::tuple>();
    ArrowChunk chunk;
    auto lend = [&](size_t i) { return t[i].is_none() ? LentBytes{} : borrow(t[i], false); };
    chunk.offsets = lend(0), chunk.data = lend(1), chunk.validity = lend(2);
    chunk.start = t[3].cast<uint64_t>(), chunk.length = t[4].cast<uint64_t>(), chunk.wide = t[5].cast<bool>();
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

}  // namespace

void bind_dedup(py::module_& m) {
  py::class_<Texts, std::shared_ptr<Texts>>(m, "Texts")
      .def("__len__", &Texts::count)
      .def(
          "text",
          [](const Texts& texts, uint64_t i) {
            if (i >= texts.count())
              throw py::index_error("text " + std::to_string(i) + " of " + std::to_string(texts.count()));
            std::string memory;
            const std::string_view text = texts.text(i, memory);
            return py::str(text.data(), text.size());
          },
          py::arg("i"));
  m.def(
      "texts_from_list",
      [](const py::sequence& texts) -> std::shared_ptr<Texts> { return std::make_shared<ListTexts>(texts); },
      py::arg("texts"));
  m.def(
      "texts_from_arrow",
      [](const py::list& chunks) -> std::shared_ptr<Texts> { return std::make_shared<ArrowTexts>(chunks_of(chunks)); },
      py::arg("chunks"));

  py::class_<DedupOptions>(m, "DedupOptions")
      .def(py::init(&make_options), py::kw_only(), py::arg("threshold"), py::arg("permutations"), py::arg("ngram_size"),
           py::arg("bands"), py::arg("rows"), py::arg("measure"), py::arg("verify"), py::arg("clusters"),
           py::arg("form"), py::arg("fold_case"), py::arg("ignore_punctuation"), py::arg("empty"), py::arg("seed"),
           py::arg("threads"))
      .def_property_readonly("bands", [](const DedupOptions& o) { return o.shape.bands; })
      .def_property_readonly("rows", [](const DedupOptions& o) { return o.shape.rows; })
      .def_property_readonly("permutations", [](const DedupOptions& o) { return o.shape.permutations; })
      .def(
          "candidate_probability",
          [](const DedupOptions& o, double similarity) { return candidate_probability(o.shape, similarity); },
          py::arg("similarity"));
  m.def("deduplicate", &run, py::arg("texts"), py::arg("options"), py::arg("order"), py::arg("progress"));
  m.def("sketch", &sketch, py::arg("texts"), py::arg("options"), py::arg("start"), py::arg("stop"));
  m.def("sizes_and_hashes", &sizes_and_hashes, py::arg("texts"), py::arg("threads"));
  m.def("similarity", &similarity, py::arg("a"), py::arg("b"), py::arg("options"));
  m.def("estimate", &estimate, py::arg("a"), py::arg("b"), py::arg("options"));
}

}  // namespace mithril
