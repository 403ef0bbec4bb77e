// Texts that lie in Python objects, read where they are, without the GIL.
#pragma once
#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "csrc/dedup/texts.h"
#include "csrc/pybind/buffers.h"

namespace mithril {

// A list or tuple of str (None is the empty text). ASCII strings are lent as they are; others are encoded each time
// they are asked for, so that CPython does not keep a second copy of them.
class ListTexts : public dedup::Texts {
 public:
  explicit ListTexts(const pybind11::sequence& texts);
  ~ListTexts() override;
  uint64_t count() const override { return static_cast<uint64_t>(PyTuple_GET_SIZE(texts_)); }
  std::string_view text(uint64_t i, std::string& scratch) const override;

 private:
  PyObject* texts_;  // a tuple, so that nobody can change it
};

// One Arrow array of type string (32-bit offsets) or large_string: rows start … start + length − 1 of its buffers. Null
// is the empty text.
struct ArrowChunk {
  LentBytes offsets, data, validity;  // data and validity may be empty
  uint64_t start = 0, length = 0;
  bool wide = false;
};

class ArrowTexts : public dedup::Texts {
 public:
  // Throws corrupt when offsets decrease or point beyond the data.
  explicit ArrowTexts(std::vector<ArrowChunk> chunks);
  uint64_t count() const override { return ends_.empty() ? 0 : ends_.back(); }
  std::string_view text(uint64_t i, std::string& scratch) const override;

 private:
  std::vector<ArrowChunk> chunks_;
  std::vector<uint64_t> ends_;  // rows up to and with each chunk
};

}  // namespace mithril
