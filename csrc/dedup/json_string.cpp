#include "csrc/dedup/json_string.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "csrc/base/simd.h"
#include "csrc/dedup/json_line.h"
#include "csrc/dedup/mapped_file.h"

#ifdef MITHRIL_SIMD
#include <emmintrin.h>
#endif

namespace mithril::dedup {

constexpr size_t kBlock = 16;
static_assert(kMapPadding >= kBlock);

// Copies 16 bytes and returns how many of them precede the first quotation mark or backslash.
static size_t copy_plain(const char* from, char* to) {
#ifdef MITHRIL_SIMD
  __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), block);
  __m128i special = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')), _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
  auto mask = static_cast<uint32_t>(_mm_movemask_epi8(special));
  return mask ? static_cast<size_t>(__builtin_ctz(mask)) : kBlock;
#else
  std::memcpy(to, from, kBlock);
  return static_cast<size_t>(std::find_if(from, from + kBlock, [](char c) { return c == '"' || c == '\\'; }) - from);
#endif
}

static uint32_t read_hex4(const char* p) {
  uint32_t value = 0;
  std::from_chars(p, p + 4, value, 16);
  return value;
}

// At most 4 bytes.
static char* put_utf8(uint32_t code, char* to) {
  if (code < 0x80) {
    *to++ = static_cast<char>(code);
    return to;
  }
  int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint32_t kFirst[] = {0, 0xc0, 0xe0, 0xf0};
  *to++ = static_cast<char>(kFirst[more] | code >> (6 * more));
  while (more--) *to++ = static_cast<char>(0x80 | (code >> (6 * more) & 0x3f));
  return to;
}

// What the escape at `*p` stands for; moves both behind what was read and written.
static void read_escape(const char** p, const char* end, char** to) {
  const char* at = *p;
  if (end - at < 2) {
    *p = end;
    return;
  }
  if (at[1] != 'u') {
    constexpr char kNamed[] = "b\bf\fn\nr\rt\t";
    const auto* name = static_cast<const char*>(std::memchr(kNamed, at[1], sizeof kNamed - 1));
    *(*to)++ = name ? name[1] : at[1];  // else \" \\ \/
    *p = at + 2;
    return;
  }
  if (end - at < 6) {
    *p = end;
    return;
  }
  uint32_t code = read_hex4(at + 2);
  *p = at + 6;
  if (code >= 0xd800 && code < 0xdc00 && end - at >= 12) {
    code = 0x10000 + (((code - 0xd800) << 10) | (read_hex4(at + 8) & 0x3ff));
    *p = at + 12;
  }
  *to = put_utf8(code, *to);
}

static std::string_view resolve(const char* p, const char* end, std::string& scratch) {
  size_t size = 0;
  while (p < end) {
    if (scratch.size() < size + 2 * kBlock) scratch.resize(2 * size + 64 * kBlock);
    char* to = scratch.data() + size;
    size_t plain = std::min(copy_plain(p, to), static_cast<size_t>(end - p));
    p += plain, to += plain;
    if (plain < kBlock && p < end) {
      if (*p == '"') return {scratch.data(), size + plain};
      read_escape(&p, end, &to);
    }
    size = static_cast<size_t>(to - scratch.data());
  }
  return {scratch.data(), size};
}

std::string_view read_string(const char* begin, const char* end, bool escaped, std::string& scratch) {
  if (escaped) return resolve(begin, end, scratch);
  auto quote = static_cast<const char*>(std::memchr(begin, '"', static_cast<size_t>(end - begin)));
  return {begin, static_cast<size_t>((quote ? quote : end) - begin)};
}

void append_json_string(std::string_view text, std::string& to) {
  constexpr char kHex[] = "0123456789abcdef";
  to += '"';
  while (!text.empty()) {
    std::string_view valid = text.substr(0, find_invalid_utf8(text));
    for (char c : valid) {
      auto byte = static_cast<uint8_t>(c);
      if (c == '"' || c == '\\')
        to += '\\', to += c;
      else if (byte < 0x20)
        to += "\\u00", to += kHex[byte >> 4], to += kHex[byte & 15];
      else
        to += c;
    }
    text.remove_prefix(valid.size());
    if (!text.empty()) text.remove_prefix(1), to += "\xef\xbf\xbd";
  }
  to += '"';
}

}  // namespace mithril::dedup
