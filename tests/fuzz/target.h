// What the fuzz targets share. A target is one LLVMFuzzerTestOneInput; libFuzzer calls it in builds with MITHRIL_FUZZ,
// replay.cpp in all others.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "csrc/base/bytes.h"
#include "csrc/base/cpu.h"
#include "csrc/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace mithril {

inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

// Heap memory of exactly this size: the address sanitizer sees an access beyond it.
class Exact {
 public:
  explicit Exact(uint64_t size, int fill = 0) : data_(new uint8_t[size]), size_(size) {
    std::memset(data_.get(), fill, size);
  }
  explicit Exact(ByteView bytes) : Exact(bytes.size) {
    if (bytes.size) std::memcpy(data(), bytes.data, bytes.size);
  }
  uint8_t* data() { return data_.get(); }
  uint64_t size() const { return size_; }
  ByteView view() const { return {data_.get(), size_}; }
  bool operator==(const Exact& o) const {
    return size_ == o.size_ && std::memcmp(data_.get(), o.data_.get(), size_) == 0;
  }

 private:
  std::unique_ptr<uint8_t[]> data_;
  uint64_t size_;
};

// Takes an input apart; what it lacks is zero.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_{data, size} {}
  uint8_t u8() { return get<uint8_t>(); }
  uint16_t u16() { return get<uint16_t>(); }
  uint32_t u32() { return get<uint32_t>(); }
  uint64_t u64() { return get<uint64_t>(); }
  ByteView bytes(uint64_t size) {
    ByteView taken{left_.data, size < left_.size ? size : left_.size};
    left_.data += taken.size, left_.size -= taken.size;
    return taken;
  }
  ByteView rest() { return bytes(left_.size); }

 private:
  template <class T>
  T get() {
    T value = 0;
    ByteView from = bytes(sizeof value);
    if (from.size) std::memcpy(&value, from.data, from.size);
    return value;
  }
  ByteView left_;
};

// Whether the statement ran through; nothing but an Error may come of it.
template <class F>
bool succeeds(F&& statement) {
  try {
    statement();
    return true;
  } catch (const Error&) {
    return false;
  }
}

#ifdef MITHRIL_FUZZ
extern Isa chosen_isa;  // what isa() answers in these builds
#endif

// Calls body(first) under each instruction set that there is; where the core chooses its own, under that alone.
template <class F>
void under_each_isa(F&& body) {
#ifdef MITHRIL_FUZZ
  for (Isa i : {Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512})
    if (isa_supported(i)) chosen_isa = i, body(i == Isa::kScalar);
#else
  body(true);
#endif
}

}  // namespace mithril
