#include "csrc/dedup/json_line.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "csrc/dedup/mapped_file.h"

namespace mithril::dedup {

static_assert(kMapPadding >= simdjson::SIMDJSON_PADDING);

static const char* find(const char* from, const char* end, char c) {
  return static_cast<const char*>(std::memchr(from, c, static_cast<size_t>(end - from)));
}

// `p` behind the opening quotation mark → behind the closing one.
static const char* skip_string(const char* p, const char* end) {
  const char* begin = p;
  for (;;) {
    const char* quote = find(p, end, '"');
    if (!quote) return end;
    const char* before = quote;
    while (before > begin && before[-1] == '\\') before--;
    p = quote + 1;
    if ((quote - before) % 2 == 0) return p;
  }
}

// The members of an object that is known to be valid JSON, in order.
class Members {
 public:
  explicit Members(std::string_view line) : p_(line.data()), end_(line.data() + line.size()) { to('{'); }

  // Views of the JSON text, of strings with their quotation marks. False behind the last member.
  bool next(std::string_view* key, std::string_view* value) {
    if (!to('"')) return false;
    const char* begin = p_ - 1;
    p_ = skip_string(p_, end_);
    *key = {begin, static_cast<size_t>(p_ - begin)};
    to(':');
    while (p_ < end_ && std::strchr(" \t\r", *p_)) p_++;
    begin = p_;
    skip_value();
    *value = {begin, static_cast<size_t>(p_ - begin)};
    return true;
  }

 private:
  // Behind the next `c`, which only white space and a comma precede; or at the object's end.
  bool to(char c) {
    while (p_ < end_ && *p_ != c && *p_ != '}') p_++;
    return p_ < end_ && *p_++ == c;
  }
  void skip_value() {
    int depth = 0;
    do {
      char c = p_ < end_ ? *p_ : '\0';
      if (c == '"') {
        p_ = skip_string(p_ + 1, end_);
      } else if (c == '{' || c == '[') {
        depth++, p_++;
      } else if (c == '}' || c == ']') {
        depth--, p_++;
      } else if (depth == 0) {
        while (p_ < end_ && !std::strchr(",}] \t\r", *p_)) p_++;
      } else {
        p_++;
      }
    } while (depth > 0 && p_ < end_);
  }
  const char *p_, *end_;
};

// RFC 8259: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
static bool is_number(std::string_view s) {
  size_t i = 0;
  auto digits = [&] {
    size_t from = i;
    while (i < s.size() && s[i] >= '0' && s[i] <= '9') i++;
    return i - from;
  };
  if (i < s.size() && s[i] == '-') i++;
  bool zero = i < s.size() && s[i] == '0';
  size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (i < s.size() && s[i] == '.' && (i++, digits() == 0)) return false;
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    i++;
    if (i < s.size() && (s[i] == '+' || s[i] == '-')) i++;
    if (digits() == 0) return false;
  }
  return i == s.size();
}

// simdjson refuses numbers beyond 64 bits and beyond the range of double, JSON does not: puts 0 in place of each number
// of valid grammar, so that what it refuses then is wrong.
static void tame_numbers(char* p, const char* end) {
  while (p < end) {
    if (*p == '"') {
      p = const_cast<char*>(skip_string(p + 1, end));
    } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
      char* begin = p;
      while (p < end && (std::strchr("+-.eE", *p) || (*p >= '0' && *p <= '9')) && *p) p++;
      if (is_number({begin, static_cast<size_t>(p - begin)})) *begin = '0', std::fill(begin + 1, p, ' ');
    } else {
      p++;
    }
  }
}

static const char* reason_of(simdjson::error_code code) {
  switch (code) {
    case simdjson::CAPACITY: return "is larger than 4 GiB";
    case simdjson::UNCLOSED_STRING: return "is not JSON: a string does not end";
    case simdjson::STRING_ERROR: return "is not JSON: a string has a wrong escape";
    case simdjson::UNESCAPED_CHARS: return "is not JSON: a string has a control character";
    case simdjson::NUMBER_ERROR: return "is not JSON: a number is malformed";
    case simdjson::T_ATOM_ERROR:
    case simdjson::F_ATOM_ERROR:
    case simdjson::N_ATOM_ERROR: return "is not JSON: a word other than true, false and null";
    case simdjson::DEPTH_ERROR: return "is nested too deeply";
    case simdjson::MEMALLOC: return "does not fit in memory";
    default: return "is not JSON: a bracket, comma, colon or value is missing or superfluous";
  }
}

static const char* type_of(simdjson::dom::element value) {
  switch (value.type()) {
    case simdjson::dom::element_type::ARRAY: return "an array";
    case simdjson::dom::element_type::OBJECT: return "an object";
    case simdjson::dom::element_type::STRING: return "a string";
    case simdjson::dom::element_type::BOOL: return "true or false";
    case simdjson::dom::element_type::NULL_VALUE: return "null";
    default: return "a number";
  }
}

// Whether a NaN or Infinity, which Python's json writes and JSON has not, stands outside of strings.
static bool has_python_number(std::string_view line) {
  for (const char *p = line.data(), *end = p + line.size(); p < end;) {
    std::string_view rest(p, static_cast<size_t>(end - p));
    if (rest.substr(0, 3) == "NaN" || rest.substr(0, 8) == "Infinity") return true;
    p = *p == '"' ? skip_string(p + 1, end) : p + 1;
  }
  return false;
}

// The names of the members, or of the first ones, to say what is there in place of a missing one.
static std::string names_in(simdjson::dom::object object) {
  constexpr size_t kMost = 8, kLongest = 40;
  std::string names;
  size_t count = 0;
  for (auto member : object) {
    if (count++ == kMost) return "there are " + names + ", …";
    bool whole = member.key.size() <= kLongest && simdjson::validate_utf8(member.key.data(), member.key.size());
    names += (count > 1 ? ", " : "") + (whole ? "'" + std::string(member.key) + "'" : "…");
  }
  return names.empty() ? "the object is empty" : "there are " + names;
}

struct JsonLineReader::State {
  simdjson::dom::parser parser;
  std::string copy;

  simdjson::error_code parse(std::string_view line, simdjson::dom::element* root);
};

JsonLineReader::JsonLineReader() : state_(new State) {}
JsonLineReader::~JsonLineReader() = default;

simdjson::error_code JsonLineReader::State::parse(std::string_view line, simdjson::dom::element* root) {
  if (line.size() > parser.capacity()) {  // by itself it would grow to the size of each longer line
    size_t capacity = std::max<size_t>({line.size(), 2 * parser.capacity(), 1 << 16});
    if (auto error = parser.allocate(std::min<size_t>(capacity, simdjson::SIMDJSON_MAXSIZE_BYTES))) return error;
  }
  auto text = reinterpret_cast<const uint8_t*>(line.data());
  simdjson::error_code error = parser.parse(text, line.size(), false).get(*root);
  if (error != simdjson::NUMBER_ERROR) return error;
  copy.assign(line);
  copy.append(kMapPadding, '\0');
  tame_numbers(copy.data(), copy.data() + line.size());
  return parser.parse(reinterpret_cast<const uint8_t*>(copy.data()), line.size(), false).get(*root);
}

// What `fields` asks for, of an object whose line is valid JSON.
static bool select(std::string_view line, simdjson::dom::object object, const JsonFields& fields, JsonLine* found,
                   JsonFault* fault) {
  constexpr size_t kNowhere = SIZE_MAX;
  size_t text_index = kNowhere, score_index = kNowhere, index = 0;
  simdjson::dom::element text, score, source;
  bool has_source = false;
  auto refuse = [&](const std::string& name, const std::string& what) {
    *fault = {ErrorKind::kInvalidArgument, "field '" + name + "' " + what, 0};
    return false;
  };
  for (auto member : object) {
    if (member.key == fields.text) text = member.value, text_index = index;
    if (!fields.score.empty() && member.key == fields.score) score = member.value, score_index = index;
    if (!fields.source.empty() && member.key == fields.source) source = member.value, has_source = true;
    for (const std::string& name : fields.absent)
      if (member.key == name) return refuse(name, "is there already");
    index++;
  }
  std::string_view value;
  if (text_index == kNowhere) return refuse(fields.text, "is missing; " + names_in(object));
  if (text.get(value)) return refuse(fields.text, std::string("is ") + type_of(text) + ", not a string");
  bool valid = simdjson::validate_utf8(value.data(), value.size());  // escapes may spell half a surrogate pair
  if (!valid) return refuse(fields.text, "has an escaped half of a surrogate pair");
  if (!fields.source.empty()) {
    if (!has_source) return refuse(fields.source, "is missing; " + names_in(object));
    if (source.get(found->source))
      return refuse(fields.source, std::string("is ") + type_of(source) + ", not a string");
  }
  if (!fields.score.empty()) {
    if (score_index == kNowhere) return refuse(fields.score, "is missing; " + names_in(object));
    if (!score.is_number()) return refuse(fields.score, std::string("is ") + type_of(score) + ", not a number");
  }

  Members members(line);
  std::string_view key, json;
  for (size_t i = 0; members.next(&key, &json); i++) {
    if (i == text_index) {
      found->text = static_cast<uint64_t>(json.data() + 1 - line.data());
      found->escaped = json.find('\\') != std::string_view::npos;
      if (score_index == kNowhere) break;
    }
    // From its text: the parser may have seen a 0 in its place.
    if (i == score_index && std::from_chars(json.data(), json.data() + json.size(), found->score).ec != std::errc())
      return refuse(fields.score, "is beyond the range of double");
  }
  return true;
}

bool JsonLineReader::read(std::string_view line, const JsonFields& fields, JsonLine* found, JsonFault* fault) {
  simdjson::dom::element root;
  if (simdjson::error_code error = state_->parse(line, &root)) {
    size_t position = error == simdjson::UTF8_ERROR ? find_invalid_utf8(line) : std::string_view::npos;
    if (position != std::string_view::npos)
      *fault = {ErrorKind::kCorrupt, "is not UTF-8", position};
    else if (has_python_number(line))
      *fault = {ErrorKind::kCorrupt, "is not JSON, which has no NaN and no Infinity", 0};
    else
      *fault = {ErrorKind::kCorrupt, reason_of(error), 0};
    return false;
  }
  simdjson::dom::object object;
  if (root.get(object)) {
    *fault = {ErrorKind::kInvalidArgument, std::string("is ") + type_of(root) + ", not an object", 0};
    return false;
  }
  return select(line, object, fields, found, fault);
}

// Bytes of the code point at the head of `s`, or 0 when there is none.
static size_t code_point_bytes(std::string_view s) {
  auto byte = [&](size_t i) { return i < s.size() ? static_cast<uint8_t>(s[i]) : 0u; };
  auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  uint32_t first = byte(0), second = byte(1);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4 || !follows(1)) return 0;
  if (first < 0xe0) return 2;
  if (!follows(2)) return 0;
  if (first < 0xf0) return (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ? 0 : 3;
  return !follows(3) || (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90) ? 0 : 4;
}

size_t find_invalid_utf8(std::string_view text) {
  if (simdjson::validate_utf8(text.data(), text.size())) return std::string_view::npos;
  for (size_t i = 0; i < text.size();) {
    size_t bytes = code_point_bytes(text.substr(i));
    if (bytes == 0) return i;
    i += bytes;
  }
  return std::string_view::npos;
}

}  // namespace mithril::dedup
