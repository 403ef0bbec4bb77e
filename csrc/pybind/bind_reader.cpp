#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "csrc/archive/reader.h"
#include "csrc/pybind/buffers.h"
#include "csrc/pybind/convert.h"
#include "csrc/pybind/module.h"

namespace py = pybind11;

namespace mithril {

static constexpr uint64_t kPlanRange = 8 << 20;  // of ranges that Python fetches: large enough for an object store

// (entry, output, first element, end element)
using Requests = std::vector<std::tuple<uint64_t, py::object, uint64_t, uint64_t>>;

struct Borrowed {
  std::vector<ReadRequest> requests;
  std::vector<LentBytes> outputs;

  explicit Borrowed(const Requests& from) {
    for (const auto& [entry, out, begin, end] : from) {
      outputs.push_back(borrow(out, true));
      requests.push_back({entry, outputs.back().data, outputs.back().size, begin, end});
    }
  }
};

// A plan keeps its reader and its outputs alive.
struct BoundPlan {
  std::shared_ptr<ArchiveReader> reader;
  std::vector<LentBytes> outputs;
  std::unique_ptr<ReadPlan> plan;
};

// An entry keeps the reader alive that holds it.
struct BoundEntry {
  std::shared_ptr<ArchiveReader> reader;
  uint64_t number;
  const Entry* operator->() const { return &reader->entries()[number]; }
};

template <class T>
static py::tuple tuple_of(const std::vector<T>& values) {
  py::tuple t(values.size());
  for (size_t i = 0; i < values.size(); i++) t[i] = py::int_(values[i]);
  return t;
}

static const char* kind_name(EntryKind kind) {
  switch (kind) {
    case EntryKind::kAlias: return "alias";
    case EntryKind::kValue: return "value";
    case EntryKind::kForeign: return "foreign";
    default: return "tensor";
  }
}

void bind_reader(py::module_& m) {
  py::class_<BoundEntry>(m, "Entry")
      .def_property_readonly("name", [](const BoundEntry& e) { return e->name; })
      .def_property_readonly("kind", [](const BoundEntry& e) { return kind_name(e->kind); })
      .def_property_readonly("dtype", [](const BoundEntry& e) { return info(e->dtype).name; })
      .def_property_readonly("shape", [](const BoundEntry& e) { return tuple_of(e->dims); })
      .def_property_readonly("dim_order", [](const BoundEntry& e) { return tuple_of(e->dim_order); })
      .def_property_readonly("raw_size", [](const BoundEntry& e) { return e->raw_size(); })
      .def_property_readonly(
          "stored_size",
          [](const BoundEntry& e) { return e->kind == EntryKind::kAlias ? 0 : e->frame_end() - e->frame_offset; })
      .def_property_readonly("frame_offset", [](const BoundEntry& e) { return e->frame_offset; })
      .def_property_readonly(
          "content_id",
          [](const BoundEntry& e) {
            return hex(e->kind == EntryKind::kAlias ? e.reader->entries()[e->target].content_id : e->content_id);
          })
      .def_property_readonly("target", [](const BoundEntry& e) -> py::object {
        if (e->kind != EntryKind::kAlias) return py::none();
        return py::int_(e->target);
      });

  py::class_<ReadStats>(m, "ReadStats")
      .def_property_readonly("bytes_read", [](const ReadStats& s) { return s.bytes_read; })
      .def_property_readonly("blocks_decoded", [](const ReadStats& s) { return s.blocks_decoded; });

  py::class_<BoundPlan>(m, "ReadPlan")
      .def_property_readonly("ranges",
                             [](const BoundPlan& p) {
                               py::list ranges;
                               for (const ReadPlan::Range& r : p.plan->ranges())
                                 ranges.append(py::make_tuple(r.offset, r.size));
                               return ranges;
                             })
      .def(
          "feed",
          [](BoundPlan& p, size_t range, const py::object& data) {
            LentBytes lent = borrow(data, false);
            py::gil_scoped_release release;
            p.plan->feed(range, lent.view(), 0);
          },
          py::arg("range"), py::arg("data"))
      .def("finish", [](const BoundPlan& p) { return p.plan->finish(); });

  py::class_<ArchiveReader, std::shared_ptr<ArchiveReader>>(m, "ArchiveReader")
      .def_static(
          "open",
          [](const std::filesystem::path& path) {
            py::gil_scoped_release release;
            return std::make_shared<ArchiveReader>(std::make_shared<FileSource>(path.native()));
          },
          py::arg("path"))
      .def_static(
          "from_buffer",
          [](const py::object& data) {
            LentBytes lent = borrow(data, false);
            py::gil_scoped_release release;
            return std::make_shared<ArchiveReader>(std::make_shared<MemorySource>(lent.view(), lent.keeper));
          },
          py::arg("data"))
      .def("__len__", [](const ArchiveReader& r) { return r.entries().size(); })
      .def("names",
           [](const ArchiveReader& r) {
             py::list names;
             for (const Entry& e : r.entries()) names.append(e.name);
             return names;
           })
      .def(
          "entry",
          [](const std::shared_ptr<ArchiveReader>& r, uint64_t number) {
            if (number >= r->entries().size())
              throw_invalid(r->name() + ": there is no entry " + std::to_string(number));
            return BoundEntry{r, number};
          },
          py::arg("number"))
      .def("find", &ArchiveReader::find, py::arg("name"))
      .def("metadata", [](const ArchiveReader& r) { return r.metadata(); })
      .def_property_readonly("archive_size", &ArchiveReader::archive_size)
      .def_property_readonly("content_id", [](const ArchiveReader& r) { return hex(r.content_id()); })
      .def(
          "check", [](const ArchiveReader& r, uint64_t number) { r.table(number); }, py::arg("number"),
          py::call_guard<py::gil_scoped_release>())
      .def(
          "plan",
          [](const std::shared_ptr<ArchiveReader>& r, const Requests& requests) {
            Borrowed b(requests);
            py::gil_scoped_release release;
            auto plan = std::make_unique<BoundPlan>();
            plan->plan = r->plan(b.requests, kPlanRange);
            plan->reader = r, plan->outputs = std::move(b.outputs);
            return plan;
          },
          py::arg("requests"))
      .def(
          "read",
          [](const ArchiveReader& r, const Requests& requests, int threads) {
            Borrowed b(requests);
            py::gil_scoped_release release;
            return r.read(b.requests, threads);
          },
          py::arg("requests"), py::kw_only(), py::arg("threads") = 0)
      .def(
          "read_bytes",
          [](const ArchiveReader& r, uint64_t number, int threads) {
            {
              py::gil_scoped_release release;
              r.table(number);  // an honest size, before memory is allocated
            }
            const Entry& e = r.entries()[number];
            auto out = py::reinterpret_steal<py::bytes>(
                PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(e.raw_size())));
            if (!out) throw py::error_already_set();
            auto* to = reinterpret_cast<uint8_t*>(PyBytes_AS_STRING(out.ptr()));
            py::gil_scoped_release release;
            r.read({{number, to, e.raw_size(), 0, e.numel()}}, threads);
            return out;
          },
          py::arg("number"), py::kw_only(), py::arg("threads") = 0)
      .def("verify", &ArchiveReader::verify, py::kw_only(), py::arg("decode") = false, py::arg("threads") = 0,
           py::call_guard<py::gil_scoped_release>());
}

}  // namespace mithril
