// Where the texts lie. Everything else asks for one by its number and never holds more than a few at a time.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mithril::dedup {

class Texts {
 public:
  virtual ~Texts() = default;
  virtual uint64_t count() const = 0;
  // Text i as UTF-8 (not yet checked). Called from several threads. The view lies in the source itself, or in
  // `scratch`, which is the caller's and then valid until it is used again.
  virtual std::string_view text(uint64_t i, std::string& scratch) const = 0;
};

}  // namespace mithril::dedup
