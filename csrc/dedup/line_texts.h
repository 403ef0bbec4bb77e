// Documents that are the lines of a file: JSON objects, of which one member is the text, or plain text.
//
// Scanning reads the file once, in parallel, and leaves 8 bytes a document in memory: where its text begins, and
// whether it has escapes. The texts stay in the file. Lines that are no documents (blank ones, and faulty ones that are
// set aside) are remembered as gaps, 16 bytes each. A byte order mark belongs to no line.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "csrc/dedup/deduplicate.h"
#include "csrc/dedup/json_line.h"
#include "csrc/dedup/mapped_file.h"
#include "csrc/dedup/texts.h"

namespace mithril::dedup {

struct LineRules {
  bool json = true;  // else plain text, of which every line is a document, empty ones too
  JsonFields fields;
  std::vector<std::string> sources;  // values of fields.source, the most preferred first
  bool skip_faults = false;          // else the first faulty line ends the scan
};

class LineTexts : public Texts {
 public:
  // Throws what is wrong with the first faulty line, with file, line and offset. `progress` gets the stage "scan" and
  // bytes.
  LineTexts(std::shared_ptr<const MappedFile> file, const LineRules& rules, int threads, const Progress& progress);

  uint64_t count() const override { return begins_.size(); }
  std::string_view text(uint64_t i, std::string& scratch) const override;

  const MappedFile& file() const { return *file_; }
  const LineRules& rules() const { return rules_; }
  // The whole line with its end, as it lies in the file.
  std::string_view line(uint64_t i) const;
  // Its number in the file, from 1; blank lines count.
  uint64_t line_number(uint64_t i) const;

  uint64_t faults() const { return faults_; }
  const std::vector<double>& scores() const { return scores_; }      // when rules.fields.score
  const std::vector<uint32_t>& sources() const { return sources_; }  // indices in rules.sources, or its size for others

  // Stretches of the file that hold the lines of those documents of [first, stop) that are to be kept, and nothing
  // else. keep[i] belongs to document i.
  std::vector<ByteView> kept_stretches(const uint8_t* keep, uint64_t first, uint64_t stop) const;

  struct Fault {
    uint64_t line_number;
    std::string_view line;  // without its end
    JsonFault why;
  };
  // The faulty lines that were set aside, in order; what is wrong with them is found out anew.
  void for_each_fault(const std::function<void(const Fault&)>& visit) const;

 private:
  struct Gap {
    uint64_t document;  // the number of documents before it
    uint64_t begin;
  };
  struct Chunk;
  struct Scan;
  void append(Chunk& chunk);
  std::string_view line_at(uint64_t begin) const;
  [[noreturn]] void refuse(uint64_t line_number, uint64_t begin, const JsonFault& fault) const;

  std::shared_ptr<const MappedFile> file_;
  LineRules rules_;
  uint64_t start_ = 0;            // behind the byte order mark
  std::vector<uint64_t> begins_;  // offset << 1 | escaped
  std::vector<Gap> gaps_;
  std::vector<uint32_t> sources_;
  std::vector<double> scores_;
  uint64_t faults_ = 0;
};

}  // namespace mithril::dedup
