// What each code point beyond ASCII is to the words of a text, under one set of rules.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "csrc/dedup/rules.h"

namespace mithril::dedup {

enum class Role : uint8_t {
  kSeparator,
  kWord,     // part of a word
  kUnit,     // a word by itself
  kComplex,  // normalisation may change it, or change with it what stands beside it
};

struct CodePoint {
  Role role;             // in a text as it comes
  Role normalised_role;  // in a text that is normalised: never kComplex
  bool replaced;         // by `bytes`: UTF-8, as long as that of the code point itself
  uint32_t bytes;        // the first byte lowest

  bool operator==(const CodePoint& other) const {
    return role == other.role && normalised_role == other.normalised_role && replaced == other.replaced &&
           bytes == other.bytes;
  }
};

class CodePoints {
 public:
  explicit CodePoints(const TextRules& rules);
  CodePoints(const CodePoints&) = delete;
  CodePoints& operator=(const CodePoints&) = delete;

  // For 0 <= code_point < 0x110000. Pages of 256 are made when they are first asked for, by any thread; those of Han
  // and Hangul are nearly all the same one.
  const CodePoint& operator[](uint32_t code_point) const {
    const Page* page = pages_[code_point >> 8].load(std::memory_order_acquire);
    return (page ? page : make_page(code_point >> 8))->code_points[code_point & 0xff];
  }

  // Appends to `to` the normal form of valid UTF-8.
  void normalise(const uint8_t* text, uint64_t size, std::string& to) const;

 private:
  struct Page {
    CodePoint code_points[256];
  };
  const Page* make_page(uint32_t number) const;
  CodePoint look_up(int32_t code_point) const;
  Role normalised_role(int32_t code_point) const;

  TextRules rules_;
  int options_;  // utf8proc's
  mutable std::mutex making_;
  mutable std::vector<std::unique_ptr<const Page>> different_;
  mutable std::atomic<const Page*> pages_[0x1100] = {};
};

// Reads one code point from UTF-8 of at least `size` > 0 bytes: its length, or 0 when it is malformed (overlong, a
// surrogate, beyond U+10FFFF, cut off).
int read_code_point(const uint8_t* text, uint64_t size, uint32_t* code_point) noexcept;

}  // namespace mithril::dedup
