#include "csrc/pybind/python_texts.h"

#include <algorithm>
#include <cstring>

#include "csrc/base/checked.h"
#include "csrc/base/error.h"

namespace py = pybind11;

namespace mithril {

namespace {

// Bytes of UTF-8.
template <class Character>
size_t encoded_size(const Character* from, size_t count) {
  size_t size = count;
  for (size_t i = 0; i < count; i++) {
    const auto c = static_cast<uint32_t>(from[i]);
    size += static_cast<size_t>(c >= 0x80) + static_cast<size_t>(c >= 0x800) + static_cast<size_t>(c >= 0x10000);
  }
  return size;
}

// Writes UTF-8 (of lone surrogates what it would be, which is refused where the text is read); `to` has room for it.
template <class Character>
void encode(const Character* from, size_t count, char* to) {
  for (size_t i = 0; i < count;) {
    if (i + 16 <= count) {
      Character any = 0;
      for (int k = 0; k < 16; k++) any |= from[i + k];
      if (any < 0x80) {
        for (int k = 0; k < 16; k++) to[k] = static_cast<char>(from[i + k]);
        i += 16, to += 16;
        continue;
      }
    }
    for (size_t end = std::min(count, i + 16); i < end; i++) {
      const auto c = static_cast<uint32_t>(from[i]);
      if (c < 0x80) {
        *to++ = static_cast<char>(c);
        continue;
      }
      if (c < 0x800) {
        *to++ = static_cast<char>(0xc0 | c >> 6);
      } else {
        if (c < 0x10000) {
          *to++ = static_cast<char>(0xe0 | c >> 12);
        } else {
          *to++ = static_cast<char>(0xf0 | c >> 18);
          *to++ = static_cast<char>(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = static_cast<char>(0x80 | (c >> 6 & 0x3f));
      }
      *to++ = static_cast<char>(0x80 | (c & 0x3f));
    }
  }
}

template <class Character>
std::string_view encoded(const Character* from, size_t count, std::string& scratch) {
  const size_t size = encoded_size(from, count);
  if (scratch.size() < size) scratch.resize(size);
  encode(from, count, scratch.data());
  return {scratch.data(), size};
}

}  // namespace

ListTexts::ListTexts(const py::sequence& texts) : texts_(PySequence_Tuple(texts.ptr())) {
  if (!texts_) throw py::error_already_set();
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(texts_); i++) {
    PyObject* item = PyTuple_GET_ITEM(texts_, i);
    if (item == Py_None) continue;
    std::string problem;
    if (!PyUnicode_Check(item))
      problem = "document " + std::to_string(i) + " is a " + Py_TYPE(item)->tp_name + ", not a str";
    else if (PyUnicode_READY(item) < 0)
      problem = "document " + std::to_string(i) + " is not a usable str";
    if (problem.empty()) continue;
    Py_DECREF(texts_);
    throw_invalid(problem);
  }
}

ListTexts::~ListTexts() {
  py::gil_scoped_acquire gil;
  Py_DECREF(texts_);
}

std::string_view ListTexts::text(uint64_t i, std::string& scratch) const {
  PyObject* item = PyTuple_GET_ITEM(texts_, static_cast<Py_ssize_t>(i));
  if (item == Py_None) return {};
  const auto count = static_cast<size_t>(PyUnicode_GET_LENGTH(item));
  const void* data = PyUnicode_DATA(item);
  if (PyUnicode_IS_ASCII(item)) return {static_cast<const char*>(data), count};
  switch (PyUnicode_KIND(item)) {
    case PyUnicode_1BYTE_KIND: return encoded(static_cast<const Py_UCS1*>(data), count, scratch);
    case PyUnicode_2BYTE_KIND: return encoded(static_cast<const Py_UCS2*>(data), count, scratch);
    default: return encoded(static_cast<const Py_UCS4*>(data), count, scratch);
  }
}

static uint64_t offset_at(const ArrowChunk& chunk, uint64_t row) {
  if (chunk.wide) {
    int64_t offset;
    std::memcpy(&offset, chunk.offsets.data + 8 * row, 8);
    return static_cast<uint64_t>(offset);
  }
  int32_t offset;
  std::memcpy(&offset, chunk.offsets.data + 4 * row, 4);
  return static_cast<uint64_t>(static_cast<int64_t>(offset));
}

static void check(const ArrowChunk& chunk) {
  const uint64_t width = chunk.wide ? 8 : 4;
  const auto rows = checked_add(chunk.start, chunk.length);
  if (!rows || *rows >= chunk.offsets.size / width)
    throw_corrupt("Arrow array: rows " + std::to_string(chunk.start) + " and " + std::to_string(chunk.length) +
                  " more exceed the " + std::to_string(chunk.offsets.size) + " bytes of its offsets");
  if (chunk.validity.size != 0 && chunk.validity.size < ceil_div(*rows, 8))
    throw_corrupt("Arrow array: validity has " + std::to_string(chunk.validity.size) + " bytes for " +
                  std::to_string(*rows) + " rows");
  uint64_t before = offset_at(chunk, chunk.start);
  for (uint64_t row = chunk.start; row < *rows; row++) {
    const uint64_t next = offset_at(chunk, row + 1);
    if (next < before || next > chunk.data.size)
      throw_corrupt("Arrow array: offset " + std::to_string(next) + " of row " + std::to_string(row + 1) +
                    " is less than the one before or beyond the " + std::to_string(chunk.data.size) + " bytes of text");
    before = next;
  }
}

ArrowTexts::ArrowTexts(std::vector<ArrowChunk> chunks) : chunks_(std::move(chunks)) {
  uint64_t rows = 0;
  for (const ArrowChunk& chunk : chunks_) {
    if (chunk.length) check(chunk);
    ends_.push_back(rows += chunk.length);
  }
}

std::string_view ArrowTexts::text(uint64_t i, std::string&) const {
  const auto c = static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), i) - ends_.begin());
  const ArrowChunk& chunk = chunks_[c];
  const uint64_t row = chunk.start + (i - (ends_[c] - chunk.length));
  if (chunk.validity.size != 0 && !(chunk.validity.data[row / 8] >> row % 8 & 1)) return {};
  const uint64_t from = offset_at(chunk, row), to = offset_at(chunk, row + 1);
  return {reinterpret_cast<const char*>(chunk.data.data) + from, to - from};
}

}  // namespace mithril
