// The lines of a file written anew: the kept ones as they are, all with marks, or the faulty ones with what is wrong.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "csrc/dedup/line_texts.h"

namespace mithril::dedup {

// Takes pieces of what is written, in order.
using LineSink = std::function<void(std::vector<ByteView>)>;

// keep[i] belongs to document i. `progress` gets the stage "write" and documents.
void write_kept(const LineTexts& texts, const uint8_t* keep, const LineSink& sink, const Progress& progress);

// Of each document of the file. Its id is `file name:line number`.
struct LineMarks {
  const uint8_t* keep;
  const uint32_t* kept_file;  // where not kept: the document that explains it, as index in `names` and line number;
  const uint64_t* kept_row;   // 0: none does
  const float* similarity;
  std::vector<std::string> names;
  uint32_t file;  // whose lines these are
};

// The members that write_marked() adds, which the lines must not have.
extern const std::vector<std::string> kMarkNames;  // keep, cluster_id, kept_id, similarity

// Adds to the object of each line: keep (bool), cluster_id (the id of the document that stays of its group), kept_id
// and similarity (null where it is kept). The rest of the line is not touched.
void write_marked(const LineTexts& texts, const LineMarks& marks, int threads, const LineSink& sink,
                  const Progress& progress);

// Removed documents and those that explain them, by index in `names` and row.
struct RemovalRows {
  const uint32_t* file;
  const uint64_t* row;
  const uint32_t* kept_file;  // from `first_in_index` on: of an earlier run
  const uint64_t* kept_row;
  const uint8_t* explained;  // 0: a text without words, which nothing explains
  const float* similarity;
  uint64_t count;
  uint32_t first_in_index;
};

// An object a line: file, row, kept_file, kept_row, kept_in_index, similarity; the last four null where not explained.
std::string removal_lines(const RemovalRows& rows, const std::vector<std::string>& names);

// An object a line: file, row (the line number), reason, line (with U+FFFD for what is not UTF-8).
void write_faults(const LineTexts& texts, const std::string& name, const LineSink& sink);

}  // namespace mithril::dedup
