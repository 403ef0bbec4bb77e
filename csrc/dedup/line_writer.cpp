#include "csrc/dedup/line_writer.h"

#include <algorithm>
#include <charconv>

#include "csrc/base/parallel.h"
#include "csrc/dedup/json_string.h"

namespace mithril::dedup {

constexpr uint64_t kLinesAtOnce = 1 << 16;  // documents between two calls of `progress`
constexpr uint64_t kTask = 1 << 10;         // documents that one thread marks
constexpr size_t kPiece = 1 << 20;

const std::vector<std::string> kMarkNames = {"keep", "cluster_id", "kept_id", "similarity"};

static ByteView view(const std::string& s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }

void write_kept(const LineTexts& texts, const uint8_t* keep, const LineSink& sink, const Progress& progress) {
  for (uint64_t first = 0; first < texts.count();) {
    uint64_t stop = std::min(texts.count(), first + kLinesAtOnce);
    sink(texts.kept_stretches(keep, first, stop));
    if (progress) progress("write", stop, texts.count());
    first = stop;
  }
}

template <class T>
static void append_number(T value, std::string& to) {
  char text[32];
  to.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// Writes the marks of one document of a file after another.
class Marker {
 public:
  Marker(const LineTexts& texts, const LineMarks& marks) : texts_(texts), marks_(marks) {
    for (const std::string& name : marks.names) {
      std::string quoted;
      append_json_string(name, quoted);
      quoted.back() = ':';  // in place of the closing quotation mark
      prefixes_.push_back(std::move(quoted));
    }
  }

  void append(uint64_t i, std::string& to) const {
    std::string_view line = texts_.line(i);
    uint64_t brace = line.rfind('}');
    to.append(line, 0, brace);
    bool explained = !marks_.keep[i] && marks_.kept_row[i] != 0;
    to += marks_.keep[i] ? ", \"keep\": true, \"cluster_id\": " : ", \"keep\": false, \"cluster_id\": ";
    if (explained) {
      append_id(marks_.kept_file[i], marks_.kept_row[i], to);
      to += ", \"kept_id\": ";
      append_id(marks_.kept_file[i], marks_.kept_row[i], to);
      to += ", \"similarity\": ";
      append_number(marks_.similarity[i], to);
    } else {
      append_id(marks_.file, texts_.line_number(i), to);
      to += ", \"kept_id\": null, \"similarity\": null";
    }
    to.append(line, brace);
    if (line.back() != '\n') to += '\n';
  }

 private:
  void append_id(uint32_t file, uint64_t row, std::string& to) const {
    to += prefixes_[file];
    append_number(row, to);
    to += '"';
  }
  const LineTexts& texts_;
  const LineMarks& marks_;
  std::vector<std::string> prefixes_;
};

void write_marked(const LineTexts& texts, const LineMarks& marks, int threads, const LineSink& sink,
                  const Progress& progress) {
  Marker marker(texts, marks);
  for (uint64_t first = 0; first < texts.count();) {
    uint64_t stop = std::min(texts.count(), first + kLinesAtOnce / 4);
    std::vector<std::string> pieces((stop - first + kTask - 1) / kTask);
    parallel_for(pieces.size(), threads, [&](size_t t) {
      uint64_t begin = first + t * kTask, end = std::min(stop, begin + kTask);
      for (uint64_t i = begin; i < end; i++) marker.append(i, pieces[t]);
    });
    std::vector<ByteView> views;
    for (const std::string& piece : pieces) views.push_back(view(piece));
    sink(std::move(views));
    if (progress) progress("write", stop, texts.count());
    first = stop;
  }
}

std::string removal_lines(const RemovalRows& rows, const std::vector<std::string>& names) {
  std::vector<std::string> quoted(names.size());
  for (size_t i = 0; i < names.size(); i++) append_json_string(names[i], quoted[i]);
  std::string lines;
  for (uint64_t i = 0; i < rows.count; i++) {
    lines += "{\"file\": " + quoted[rows.file[i]] + ", \"row\": ";
    append_number(rows.row[i], lines);
    if (rows.explained[i]) {
      lines += ", \"kept_file\": " + quoted[rows.kept_file[i]] + ", \"kept_row\": ";
      append_number(rows.kept_row[i], lines);
      lines += ", \"kept_in_index\": ";
      lines += rows.kept_file[i] >= rows.first_in_index ? "true" : "false";
      lines += ", \"similarity\": ";
      append_number(rows.similarity[i], lines);
      lines += "}\n";
    } else {
      lines += ", \"kept_file\": null, \"kept_row\": null, \"kept_in_index\": null, \"similarity\": null}\n";
    }
  }
  return lines;
}

void write_faults(const LineTexts& texts, const std::string& name, const LineSink& sink) {
  std::string text;
  texts.for_each_fault([&](const LineTexts::Fault& fault) {
    text += "{\"file\": ";
    append_json_string(name, text);
    text += ", \"row\": ";
    append_number(fault.line_number, text);
    text += ", \"reason\": ";
    append_json_string(fault.why.reason, text);
    text += ", \"line\": ";
    append_json_string(fault.line, text);
    text += "}\n";
    if (text.size() < kPiece) return;
    sink({view(text)});
    text.clear();
  });
  if (!text.empty()) sink({view(text)});
}

}  // namespace mithril::dedup
