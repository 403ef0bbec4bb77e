// JSON strings: read where they lie, and written.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mithril::dedup {

// The string that begins at `begin`, behind its quotation mark, in JSON that was found valid. Without escapes the
// result lies where it is, else at the head of `scratch`, whose other bytes are undefined. kMapPadding bytes behind
// `end` may be read. Should the JSON have changed since, the result is some string that ends at `end` at the latest.
std::string_view read_string(const char* begin, const char* end, bool escaped, std::string& scratch);

// Appends `text` as a JSON string with its quotation marks; bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string_view text, std::string& to);

}  // namespace mithril::dedup
