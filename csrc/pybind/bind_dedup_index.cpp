#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "csrc/dedup/bloom.h"
#include "csrc/dedup/index.h"
#include "csrc/pybind/arrays.h"
#include "csrc/pybind/module.h"
#include "csrc/pybind/progress.h"

namespace py = pybind11;

namespace mithril {

using namespace dedup;

namespace {

using Release = py::call_guard<py::gil_scoped_release>;

// The indexed texts, fetched one by one: callable(number) gives UTF-8 as bytes.
class FetchedTexts : public Texts {
 public:
  FetchedTexts(py::function fetch, uint64_t count) : fetch_(std::move(fetch)), count_(count) {}
  uint64_t count() const override { return count_; }
  std::string_view text(uint64_t i, std::string& scratch) const override {
    py::gil_scoped_acquire acquire;
    scratch = fetch_(i).cast<std::string>();
    return scratch;
  }

 private:
  py::function fetch_;
  uint64_t count_;
};

FileRows places_of(const py::tuple& places) {
  FileRows result;
  result.names = places[0].cast<std::vector<std::string>>();
  auto files = places[1].cast<Array<uint32_t>>();
  auto rows = places[2].cast<Array<uint64_t>>();
  result.files.assign(files.data(), files.data() + files.size());
  result.rows.assign(rows.data(), rows.data() + rows.size());
  if (result.rows.size() != result.files.size()) throw_invalid("ids: there is not a row for each file");
  for (uint32_t file : result.files)
    if (file >= result.names.size()) throw_invalid("ids: there is no file " + std::to_string(file));
  return result;
}

// None, an int64 array, a list of str, or a tuple: names of files, and of each document the number of its file and its
// row.
DocumentIds ids_of(const py::object& object) {
  DocumentIds ids;
  if (object.is_none()) return ids;
  if (py::isinstance<py::tuple>(object)) {
    ids.kind = IdKind::kTexts;
    ids.places = places_of(object.cast<py::tuple>());
    return ids;
  }
  if (py::isinstance<py::array>(object)) {
    auto numbers = object.cast<Array<int64_t>>();
    ids.kind = IdKind::kNumbers;
    ids.numbers.assign(numbers.data(), numbers.data() + numbers.size());
  } else {
    ids.kind = IdKind::kTexts;
    ids.texts = object.cast<std::vector<std::string>>();
  }
  return ids;
}

py::object ids_at(const Index& index, const Array<uint32_t>& numbers) {
  std::vector<uint32_t> wanted(numbers.data(), numbers.data() + numbers.size());
  if (index.id_kind() != IdKind::kTexts) return to_array(index.ids(wanted));
  py::list ids;
  for (const std::string& id : index.text_ids(wanted)) {
    PyObject* text = PyUnicode_DecodeUTF8(id.data(), static_cast<py::ssize_t>(id.size()), "strict");
    if (!text) {
      PyErr_Clear();
      throw_corrupt("an id of the index is not UTF-8");
    }
    ids.append(py::reinterpret_steal<py::str>(text));
  }
  return ids;
}

py::tuple as_tuple(IndexRemovals&& removals) {
  const DedupStats& s = removals.stats;
  py::dict stats;
  stats["documents"] = s.documents, stats["bytes"] = s.bytes, stats["empty"] = s.empty;
  stats["exact_duplicates"] = s.exact_duplicates, stats["candidate_pairs"] = s.candidate_pairs;
  stats["verified_pairs"] = s.verified_pairs, stats["accepted_pairs"] = s.accepted_pairs;
  stats["full_buckets"] = s.full_buckets;
  return py::make_tuple(to_array(std::move(removals.removed_by)), to_array(std::move(removals.similarity)),
                        to_array(std::move(removals.empty)), removals.seen, stats);
}

py::dict sketch_parameters(const TextRules& rules, const SketchShape& shape) {
  py::dict d;
  d["num_permutations"] = shape.permutations, d["num_bands"] = shape.bands, d["num_rows"] = shape.rows;
  d["seed"] = shape.seed, d["ngram_size"] = rules.ngram_size;
  constexpr const char* kForms[] = {"none", "NFC", "NFKC"};
  d["normalization"] = kForms[static_cast<int>(rules.form)];
  d["fold_case"] = rules.fold_case, d["ignore_punctuation"] = rules.ignore_punctuation;
  return d;
}

py::dict parameters_of_file(const std::filesystem::path& path) {
  IndexParameters p;
  {
    py::gil_scoped_release release;
    p = read_index_parameters(path.native());
  }
  py::dict d = sketch_parameters(p.rules, p.shape);
  d["measure"] = p.measure == Measure::kJaccard ? "jaccard" : "containment";
  d["threshold"] = p.threshold, d["verify"] = p.verify, d["store_texts"] = p.stores_texts;
  return d;
}

void bind_index(py::module_& m) {
  py::class_<FetchedTexts, Texts, std::shared_ptr<FetchedTexts>>(m, "FetchedTexts")
      .def(py::init<py::function, uint64_t>(), py::arg("fetch"), py::arg("count"));

  py::class_<Index::State>(m, "DedupIndexState");

  py::class_<Index>(m, "DedupIndex")
      .def(py::init<const DedupOptions&, bool>(), py::arg("options"), py::kw_only(), py::arg("store_texts"))
      .def("__len__", &Index::documents)
      .def_property_readonly("seen", &Index::seen)
      .def_property_readonly("left_out", &Index::left_out)
      .def_property_readonly("ids_are_texts", [](const Index& index) { return index.id_kind() == IdKind::kTexts; })
      .def(
          "add",
          [](Index& index, const Texts& texts, const py::object& ids) {
            DocumentIds document_ids = ids_of(ids);
            const Progress report = progress_of(py::none());
            py::gil_scoped_release release;
            index.add(texts, document_ids, report);
          },
          py::arg("texts"), py::arg("ids"))
      .def(
          "query",
          [](const Index& index, const Texts& texts, const Texts* known) {
            const Progress report = progress_of(py::none());
            IndexMatches matches;
            {
              py::gil_scoped_release release;
              matches = index.query(texts, known, report);
            }
            return py::make_tuple(to_array(std::move(matches.offsets)), to_array(std::move(matches.numbers)),
                                  to_array(std::move(matches.similarities)));
          },
          py::arg("texts"), py::arg("known"))
      .def(
          "deduplicate",
          [](Index& index, const Texts& texts, const py::object& ids, const Texts* known, const py::object& progress) {
            DocumentIds document_ids = ids_of(ids);
            const Progress report = progress_of(progress);
            IndexRemovals removals;
            {
              py::gil_scoped_release release;
              removals = index.deduplicate(texts, document_ids, known, report);
            }
            return as_tuple(std::move(removals));
          },
          py::arg("texts"), py::arg("ids"), py::arg("known"), py::arg("progress"))
      .def(
          "remove_known",
          [](const Index& index, const Texts& texts, const Texts* known) {
            const Progress report = progress_of(py::none());
            IndexRemovals removals;
            {
              py::gil_scoped_release release;
              removals = index.remove_known(texts, known, report);
            }
            return as_tuple(std::move(removals));
          },
          py::arg("texts"), py::arg("known"))
      .def("ids", &ids_at, py::arg("numbers"))
      .def("now", &Index::now, Release())
      .def("restore", &Index::restore, py::arg("state"), Release())
      .def("merge", &Index::merge, py::arg("other"), Release())
      .def(
          "attach",
          [](Index& index, const std::filesystem::path& path, bool mapped) { index.attach(path.native(), mapped); },
          py::arg("path"), py::kw_only(), py::arg("mapped"), Release())
      .def(
          "save", [](const Index& index, const std::filesystem::path& path) { index.save(path.native()); },
          py::arg("path"), Release())
      .def("check", &Index::check, Release());
  m.def("index_parameters", &parameters_of_file, py::arg("path"));
}

std::unique_ptr<BloomIndex> make_bloom(const DedupOptions& options, uint64_t expected_documents,
                                       double false_positive_rate) {
  return std::make_unique<BloomIndex>(
      BloomParameters{options.rules, options.shape, expected_documents, false_positive_rate}, options.threads);
}

template <auto method, class Object>
py::array_t<uint8_t> answers(Object& index, const Texts& texts) {
  std::vector<uint8_t> result;
  {
    py::gil_scoped_release release;
    result = (index.*method)(texts);
  }
  return to_array(std::move(result));
}

void bind_bloom(py::module_& m) {
  py::class_<BloomIndex>(m, "BloomIndex")
      .def(py::init(&make_bloom), py::arg("options"), py::kw_only(), py::arg("expected_documents"),
           py::arg("false_positive_rate"), Release())
      .def_static(
          "load",
          [](const std::filesystem::path& path, int threads) { return BloomIndex::load(path.native(), threads); },
          py::arg("path"), py::kw_only(), py::arg("threads"), Release())
      .def("query", &answers<&BloomIndex::query, const BloomIndex>, py::arg("texts"))
      .def("deduplicate", &answers<&BloomIndex::deduplicate, BloomIndex>, py::arg("texts"))
      .def("merge", &BloomIndex::merge, py::arg("other"), Release())
      .def(
          "save", [](const BloomIndex& index, const std::filesystem::path& path) { index.save(path.native()); },
          py::arg("path"), Release())
      .def("__len__", &BloomIndex::documents, Release())
      .def_property_readonly("bytes", &BloomIndex::bytes)
      .def_property_readonly("false_positive_rate", &BloomIndex::false_positive_rate)
      .def_property_readonly("parameters", [](const BloomIndex& index) {
        const BloomParameters& p = index.parameters();
        py::dict d = sketch_parameters(p.rules, p.shape);
        d["expected_documents"] = p.expected_documents, d["false_positive_rate"] = p.false_positive_rate;
        return d;
      });
}

}  // namespace

void bind_dedup_index(py::module_& m) {
  bind_index(m);
  bind_bloom(m);
}

}  // namespace mithril
