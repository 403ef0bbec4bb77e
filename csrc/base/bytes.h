// Little-endian bytes: a bounded cursor to read them, a builder to write them. Every decoder of metadata reads through
// ByteCursor.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/base/error.h"

namespace mithril {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the format is little-endian; a big-endian host needs byte swaps here");

struct ByteView {
  const uint8_t* data = nullptr;
  uint64_t size = 0;
};

struct Hash128 {
  uint64_t low = 0, high = 0;
  bool operator==(const Hash128& o) const { return low == o.low && high == o.high; }
  bool operator!=(const Hash128& o) const { return !(*this == o); }
};

// Reads `view`; errors name the structure, the field and the offset in the archive (`origin` is where the view begins).
class ByteCursor {
 public:
  ByteCursor(ByteView view, std::string structure, uint64_t origin)
      : view_(view), structure_(std::move(structure)), origin_(origin) {}

  uint8_t u8(const char* field) { return get<uint8_t>(field); }
  uint16_t u16(const char* field) { return get<uint16_t>(field); }
  uint32_t u32(const char* field) { return get<uint32_t>(field); }
  uint64_t u64(const char* field) { return get<uint64_t>(field); }
  Hash128 hash128(const char* field) {
    Hash128 h;
    h.low = u64(field);
    h.high = u64(field);
    return h;
  }
  ByteView bytes(uint64_t size, const char* field) {
    need(size, field);
    field_ = position_;
    ByteView v{view_.data + position_, size};
    position_ += size;
    return v;
  }
  std::string_view text(uint64_t size, const char* field) {
    ByteView v = bytes(size, field);
    return {reinterpret_cast<const char*>(v.data), v.size};
  }
  void zeros(uint64_t size, const char* field) {
    ByteView v = bytes(size, field);
    for (uint64_t i = 0; i < size; i++)
      if (v.data[i] != 0) fail(field, "is not zero", position_ - size + i);
  }
  // A count of records of at least `smallest` bytes each: refused when they cannot fit in what is left.
  uint64_t count(uint64_t smallest, uint64_t limit, const char* field) {
    uint64_t n = u64(field);
    if (n > limit) fail(field, std::to_string(n) + " exceeds the limit " + std::to_string(limit));
    if (n > left() / smallest)
      fail(field, std::to_string(n) + " does not fit in the " + std::to_string(left()) + " bytes left");
    return n;
  }
  uint64_t left() const { return view_.size - position_; }
  uint64_t position() const { return position_; }
  uint64_t offset() const { return origin_ + position_; }
  ByteView before() const { return {view_.data, position_}; }

  // About the field that was read last, or about another position of the view.
  [[noreturn]] void fail(const char* field, const std::string& what) const { fail(field, what, field_); }
  [[noreturn]] void fail(const char* field, const std::string& what, uint64_t position) const {
    throw_corrupt(structure_ + ": " + field + " " + what + " (offset " + std::to_string(origin_ + position) + ")");
  }
  [[noreturn]] void unsupported(const char* field, const std::string& what) const {
    throw_unsupported(structure_ + ": " + field + " " + what + " (offset " + std::to_string(origin_ + field_) + ")");
  }

 private:
  template <class T>
  T get(const char* field) {
    need(sizeof(T), field);
    field_ = position_;
    T v;
    std::memcpy(&v, view_.data + position_, sizeof(T));
    position_ += sizeof(T);
    return v;
  }
  void need(uint64_t n, const char* field) const {
    if (n > left())
      fail(field, "needs " + std::to_string(n) + " bytes, " + std::to_string(left()) + " are left", position_);
  }

  ByteView view_;
  std::string structure_;
  uint64_t origin_;
  uint64_t position_ = 0;
  uint64_t field_ = 0;  // where the field read last begins
};

class ByteBuilder {
 public:
  void u8(uint8_t v) { put(v); }
  void u16(uint16_t v) { put(v); }
  void u32(uint32_t v) { put(v); }
  void u64(uint64_t v) { put(v); }
  void hash128(const Hash128& h) { u64(h.low), u64(h.high); }
  void bytes(const void* data, uint64_t size) {
    const auto* p = static_cast<const uint8_t*>(data);
    bytes_.insert(bytes_.end(), p, p + size);
  }
  void text(std::string_view s) { bytes(s.data(), s.size()); }
  void zeros(uint64_t n) { bytes_.resize(bytes_.size() + n); }
  void pad64() { bytes_.resize((bytes_.size() + 63) / 64 * 64); }
  void set_u64(uint64_t position, uint64_t v) { std::memcpy(bytes_.data() + position, &v, sizeof v); }
  uint64_t size() const { return bytes_.size(); }
  const uint8_t* data() const { return bytes_.data(); }
  std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  template <class T>
  void put(T v) {
    bytes(&v, sizeof v);
  }
  std::vector<uint8_t> bytes_;
};

}  // namespace mithril
