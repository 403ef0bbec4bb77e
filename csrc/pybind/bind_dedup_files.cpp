// Documents in files: lines of mapped files, columns that are spilled, and what is written of them.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cerrno>
#include <filesystem>

#include "csrc/base/file.h"
#include "csrc/base/parallel.h"
#include "csrc/dedup/joined_texts.h"
#include "csrc/dedup/line_writer.h"
#include "csrc/dedup/spilled_texts.h"
#include "csrc/pybind/buffers.h"
#include "csrc/pybind/module.h"
#include "csrc/pybind/progress.h"

namespace py = pybind11;

namespace mithril {

using namespace dedup;

constexpr size_t kPieceBytes = 1 << 20;  // what a file object gets at a time

template <class T>
static py::array_t<T> array_of(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

// The elements of an array-like that has one for each document.
template <class T>
static LentBytes borrow_each(const py::object& object, uint64_t count, const char* name) {
  LentBytes lent = borrow(object, false);
  if (lent.size != count * sizeof(T))
    throw_invalid(std::string(name) + ": " + std::to_string(lent.size) + " bytes, " +
                  std::to_string(count * sizeof(T)) + " expected for " + std::to_string(count) + " documents");
  return lent;
}

// Gives what is written to an OutputFile, or to the method write() of a Python object in larger pieces.
class PythonSink {
 public:
  explicit PythonSink(const py::object& to) {
    if (py::isinstance<OutputFile>(to))
      file_ = &to.cast<OutputFile&>();
    else
      write_ = to.attr("write");
  }
  // Without the GIL.
  void take(std::vector<ByteView> views) {
    if (file_) return file_->write(std::move(views));
    for (ByteView v : views) {
      if (pending_.size() + v.size > kPieceBytes) flush();
      if (v.size > kPieceBytes)
        write(v);
      else
        pending_.append(reinterpret_cast<const char*>(v.data), v.size);
    }
  }
  void flush() {
    if (!pending_.empty()) write({reinterpret_cast<const uint8_t*>(pending_.data()), pending_.size()});
    pending_.clear();
  }
  LineSink sink() {
    return [this](std::vector<ByteView> views) { take(std::move(views)); };
  }

 private:
  void write(ByteView v) {
    py::gil_scoped_acquire acquire;
    py::memoryview view = py::memoryview::from_memory(v.data, static_cast<py::ssize_t>(v.size));
    const py::object taken = write_(view);
    view.attr("release")();
    if (!taken.is_none() && taken.cast<uint64_t>() != v.size)
      throw Error(EIO, "wrote " + py::str(taken).cast<std::string>() + " of " + std::to_string(v.size) + " bytes", "");
  }
  OutputFile* file_ = nullptr;
  py::object write_;
  std::string pending_;
};

static std::shared_ptr<LineTexts> scan(std::shared_ptr<MappedFile> file, bool json, const std::string& text,
                                       const std::string& score, const std::string& source,
                                       std::vector<std::string> sources, bool unmarked, bool skip_faults, int threads,
                                       const py::object& progress) {
  LineRules rules;
  rules.json = json;
  rules.fields.text = text, rules.fields.score = score, rules.fields.source = source;
  if (unmarked) rules.fields.absent = kMarkNames;
  rules.sources = std::move(sources);
  rules.skip_faults = skip_faults;
  Progress report = progress_of(progress);
  py::gil_scoped_release release;
  return std::make_shared<LineTexts>(std::move(file), rules, threads, report);
}

static py::array_t<uint64_t> line_numbers(const LineTexts& texts, const py::array_t<int64_t>& indices) {
  py::array_t<uint64_t> numbers(indices.size());
  auto in = indices.unchecked<1>();
  auto out = numbers.mutable_unchecked<1>();
  for (py::ssize_t k = 0; k < in.shape(0); k++) {
    if (in(k) < 0 || static_cast<uint64_t>(in(k)) >= texts.count())
      throw_invalid("document " + std::to_string(in(k)) + " of " + std::to_string(texts.count()));
    out(k) = texts.line_number(static_cast<uint64_t>(in(k)));
  }
  return numbers;
}

static void write_kept_to(const LineTexts& texts, const py::object& to, const py::object& keep,
                          const py::object& progress) {
  LentBytes kept = borrow_each<uint8_t>(keep, texts.count(), "keep");
  Progress report = progress_of(progress);
  PythonSink sink(to);
  py::gil_scoped_release release;
  write_kept(texts, kept.data, sink.sink(), report);
  sink.flush();
}

static void write_marked_to(const LineTexts& texts, const py::object& to, const py::object& keep,
                            const py::object& kept_file, const py::object& kept_row, const py::object& similarity,
                            std::vector<std::string> names, uint32_t file, int threads, const py::object& progress) {
  LentBytes lent_keep = borrow_each<uint8_t>(keep, texts.count(), "keep");
  LentBytes lent_file = borrow_each<uint32_t>(kept_file, texts.count(), "kept_file");
  LentBytes lent_row = borrow_each<uint64_t>(kept_row, texts.count(), "kept_row");
  LentBytes lent_similarity = borrow_each<float>(similarity, texts.count(), "similarity");
  LineMarks marks{lent_keep.data,
                  reinterpret_cast<const uint32_t*>(lent_file.data),
                  reinterpret_cast<const uint64_t*>(lent_row.data),
                  reinterpret_cast<const float*>(lent_similarity.data),
                  std::move(names),
                  file};
  if (!texts.rules().json) throw_invalid("plain text has no fields to mark");
  uint32_t highest = file;
  for (uint64_t i = 0; i < texts.count(); i++) highest = std::max(highest, marks.kept_file[i]);
  if (highest >= marks.names.size()) throw_invalid("kept_file " + std::to_string(highest) + " has no name");
  Progress report = progress_of(progress);
  PythonSink sink(to);
  py::gil_scoped_release release;
  write_marked(texts, marks, threads, sink.sink(), report);
  sink.flush();
}

static py::bytes lines_of_removals(const py::object& files, const py::object& rows, const py::object& kept_files,
                                   const py::object& kept_rows, const py::object& explained,
                                   const py::object& similarities, const std::vector<std::string>& names,
                                   uint32_t first_in_index) {
  uint64_t count = py::len(files);
  LentBytes lent_files = borrow_each<uint32_t>(files, count, "files");
  LentBytes lent_rows = borrow_each<uint64_t>(rows, count, "rows");
  LentBytes lent_kept_files = borrow_each<uint32_t>(kept_files, count, "kept_files");
  LentBytes lent_kept_rows = borrow_each<uint64_t>(kept_rows, count, "kept_rows");
  LentBytes lent_explained = borrow_each<uint8_t>(explained, count, "explained");
  LentBytes lent_similarities = borrow_each<float>(similarities, count, "similarities");
  RemovalRows removals{reinterpret_cast<const uint32_t*>(lent_files.data),
                       reinterpret_cast<const uint64_t*>(lent_rows.data),
                       reinterpret_cast<const uint32_t*>(lent_kept_files.data),
                       reinterpret_cast<const uint64_t*>(lent_kept_rows.data),
                       lent_explained.data,
                       reinterpret_cast<const float*>(lent_similarities.data),
                       count,
                       first_in_index};
  for (uint64_t i = 0; i < count; i++)
    if (std::max(removals.file[i], removals.kept_file[i]) >= names.size())
      throw_invalid("removal " + std::to_string(i) + ": a file has no name");
  return py::bytes(removal_lines(removals, names));
}

static void write_faults_to(const LineTexts& texts, const py::object& to, const std::string& name) {
  PythonSink sink(to);
  py::gil_scoped_release release;
  write_faults(texts, name, sink.sink());
  sink.flush();
}

static void spill(TextSpiller& spiller, const py::object& offsets, const py::object& data, uint64_t start,
                  uint64_t count, bool wide) {
  LentBytes lent_offsets = borrow(offsets, false), lent_data;
  if (!data.is_none()) lent_data = borrow(data, false);
  uint64_t have = lent_offsets.size / (wide ? sizeof(int64_t) : sizeof(int32_t));
  if (count && (start >= have || count >= have - start))
    throw_invalid("offsets: " + std::to_string(have) + ", more than " + std::to_string(start) + " + " +
                  std::to_string(count) + " expected");
  py::gil_scoped_release release;
  if (wide)
    spiller.add(reinterpret_cast<const int64_t*>(lent_offsets.data) + start, count, lent_data.view());
  else
    spiller.add(reinterpret_cast<const int32_t*>(lent_offsets.data) + start, count, lent_data.view());
}

// The texts that are not UTF-8, in order, each with the offset in it; `first_only`: at most one.
static std::vector<std::pair<uint64_t, uint64_t>> find_invalid_texts(const Texts& texts, bool first_only, int threads) {
  constexpr uint64_t kTask = 1 << 12;
  uint64_t count = texts.count();
  std::vector<std::vector<std::pair<uint64_t, uint64_t>>> found((count + kTask - 1) / kTask);
  parallel_for(found.size(), threads, [&](size_t t) {
    std::string scratch;
    uint64_t stop = std::min(count, (t + 1) * kTask);
    for (uint64_t i = t * kTask; i < stop && !(first_only && !found[t].empty()); i++) {
      size_t offset = find_invalid_utf8(texts.text(i, scratch));
      if (offset != std::string_view::npos) found[t].emplace_back(i, offset);
    }
  });
  std::vector<std::pair<uint64_t, uint64_t>> all;
  for (const auto& part : found) all.insert(all.end(), part.begin(), part.end());
  if (first_only && all.size() > 1) all.resize(1);
  return all;
}

// At most `bytes` of the begin of text i, in whole code points.
static py::str text_beginning(const Texts& texts, uint64_t i, uint64_t bytes) {
  if (i >= texts.count()) throw py::index_error("text " + std::to_string(i) + " of " + std::to_string(texts.count()));
  std::string scratch;
  std::string_view text = texts.text(i, scratch);
  if (bytes < text.size()) {
    while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xc0) == 0x80) bytes--;
    text = text.substr(0, bytes);
  }
  return py::str(text.data(), text.size());
}

static void bind_line_texts(py::module_& m) {
  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<LineTexts, Texts, std::shared_ptr<LineTexts>>(m, "LineTexts")
      .def(py::init(&scan), py::arg("file"), py::kw_only(), py::arg("json") = true, py::arg("text") = "text",
           py::arg("score") = "", py::arg("source") = "", py::arg("sources") = std::vector<std::string>(),
           py::arg("unmarked") = false, py::arg("skip_faults") = false, py::arg("threads") = 0,
           py::arg("progress") = py::none())
      .def_property_readonly("faults", &LineTexts::faults)
      .def_property_readonly("scores", [](const LineTexts& t) { return array_of(t.scores()); })
      .def_property_readonly("sources", [](const LineTexts& t) { return array_of(t.sources()); })
      .def("line_numbers", &line_numbers, py::arg("indices"))
      .def(
          "require_unchanged", [](const LineTexts& t) { t.file().require_unchanged(); }, Release())
      .def("write_kept", &write_kept_to, py::arg("to"), py::arg("keep"), py::kw_only(),
           py::arg("progress") = py::none())
      .def("write_marked", &write_marked_to, py::arg("to"), py::arg("keep"), py::arg("kept_file"), py::arg("kept_row"),
           py::arg("similarity"), py::kw_only(), py::arg("names"), py::arg("file"), py::arg("threads") = 0,
           py::arg("progress") = py::none())
      .def("write_faults", &write_faults_to, py::arg("to"), py::arg("name"));
}

void bind_dedup_files(py::module_& m) {
  using Release = py::call_guard<py::gil_scoped_release>;
  py::class_<MappedFile, std::shared_ptr<MappedFile>>(m, "MappedFile")
      .def(py::init([](const std::filesystem::path& path) { return std::make_shared<MappedFile>(path.native()); }),
           py::arg("path"))
      .def_property_readonly("size", &MappedFile::size);

  py::class_<SpillFile>(m, "SpillFile")
      .def(py::init([](const std::filesystem::path& folder) { return std::make_unique<SpillFile>(folder.native()); }),
           py::arg("folder"))
      .def(
          "write",
          [](SpillFile& file, const py::object& data) {
            LentBytes lent = borrow(data, false);
            py::gil_scoped_release release;
            file.write(lent.view());
          },
          py::arg("data"))
      .def(
          "finish",
          [](SpillFile& file, const std::filesystem::path& name) {
            return std::const_pointer_cast<MappedFile>(file.finish(name.native()));
          },
          py::arg("name"));

  bind_line_texts(m);

  py::class_<TextSpiller>(m, "TextSpiller")
      .def(py::init([](const std::filesystem::path& folder) { return std::make_unique<TextSpiller>(folder.native()); }),
           py::arg("folder"))
      .def("add", &spill, py::arg("offsets"), py::arg("data"), py::arg("start"), py::arg("count"), py::arg("wide"))
      .def("finish", [](TextSpiller& spiller) { return std::const_pointer_cast<Texts>(spiller.finish()); });

  m.def(
      "join_texts",
      [](const std::vector<std::shared_ptr<Texts>>& parts) -> std::shared_ptr<Texts> {
        return std::make_shared<JoinedTexts>(std::vector<std::shared_ptr<const Texts>>(parts.begin(), parts.end()));
      },
      py::arg("parts"));
  m.def("removal_lines", &lines_of_removals, py::arg("files"), py::arg("rows"), py::arg("kept_files"),
        py::arg("kept_rows"), py::arg("explained"), py::arg("similarities"), py::kw_only(), py::arg("names"),
        py::arg("first_in_index"));
  m.def("find_invalid_texts", &find_invalid_texts, py::arg("texts"), py::kw_only(), py::arg("first_only") = false,
        py::arg("threads") = 0, Release());
  m.def("text_beginning", &text_beginning, py::arg("texts"), py::arg("i"), py::arg("bytes"));
  m.attr("MARK_NAMES") = py::cast(kMarkNames);
}

}  // namespace mithril
