// One line of JSON Lines: where the text lies in it.
//
// A line is one JSON object (RFC 8259, UTF-8), and all of it is checked once, by JsonLineReader::read. From then on the
// place where the text begins is enough: read_string() of json_string.h finds its end in the bytes themselves. Of
// several members of the same name the last one counts, as in Python's json.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/base/error.h"

namespace mithril::dedup {

struct JsonFields {
  std::string text = "text";        // must be there, a string
  std::string score;                // unless empty: must be there, a number
  std::string source;               // unless empty: must be there, a string
  std::vector<std::string> absent;  // must not be there
};

struct JsonLine {
  uint64_t text = 0;     // where the string begins in the line, behind its quotation mark
  bool escaped = false;  // whether a backslash is in it
  double score = 0;
  std::string_view source;  // valid until the next read
};

// Why a line is not taken.
struct JsonFault {
  ErrorKind kind = ErrorKind::kCorrupt;  // or invalid_argument: JSON, but not with the fields that were asked for
  std::string reason;
  uint64_t position = 0;  // in the line: of the fault if it is known, else 0
};

// Reads one line after the other, in one thread.
class JsonLineReader {
 public:
  JsonLineReader();
  ~JsonLineReader();
  // kMapPadding bytes behind the line may be read. False when the line is not taken.
  bool read(std::string_view line, const JsonFields& fields, JsonLine* found, JsonFault* fault);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The first byte that does not belong to valid UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

}  // namespace mithril::dedup
