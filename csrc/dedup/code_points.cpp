#include "csrc/dedup/code_points.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "csrc/base/error.h"

namespace mithril::dedup {

namespace {

struct Range {
  int32_t first, last;
};

template <size_t N>
bool within(const Range (&ranges)[N], int32_t code_point) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [=](Range r) { return r.first <= code_point && code_point <= r.last; });
}

// Scripts that are written without spaces: each of their letters, marks and numbers is a word by itself.
constexpr Range kUnspaced[] = {
    {0x0e00, 0x0eff},                                                            // Thai, Lao
    {0x1000, 0x109f}, {0xa9e0, 0xa9ff}, {0xaa60, 0xaa7f},                        // Myanmar
    {0x1780, 0x17ff},                                                            // Khmer
    {0x3040, 0x30ff}, {0x31f0, 0x31ff}, {0xff66, 0xff9f},   {0x1aff0, 0x1b16f},  // Hiragana, Katakana
    {0x3005, 0x3007}, {0x3021, 0x3029}, {0x3038, 0x303b},   {0x3400, 0x4dbf},
    {0x4e00, 0x9fff}, {0xf900, 0xfaff}, {0x20000, 0x323af},  // Han
};

// Starters that compose with the character before them, so that their own form says nothing.
constexpr Range kComposeBackwards[] = {
    {0x09be, 0x09be},   {0x09d7, 0x09d7},   {0x0b3e, 0x0b3e},   {0x0b56, 0x0b57},   {0x0bbe, 0x0bbe},
    {0x0bd7, 0x0bd7},   {0x0cc2, 0x0cc2},   {0x0cd5, 0x0cd6},   {0x0d3e, 0x0d3e},   {0x0d57, 0x0d57},
    {0x0dcf, 0x0dcf},   {0x0ddf, 0x0ddf},   {0x102e, 0x102e},   {0x1161, 0x1175},   {0x11a8, 0x11c2},
    {0x1b35, 0x1b35},   {0x11127, 0x11127}, {0x1133e, 0x1133e}, {0x11357, 0x11357}, {0x114b0, 0x114b0},
    {0x114ba, 0x114ba}, {0x114bd, 0x114bd}, {0x115af, 0x115af}, {0x11930, 0x11930},
};

bool is_emoji(int32_t code_point) {
  constexpr Range kIndicatorsAndSkinTones[] = {{0x1f1e6, 0x1f1ff}, {0x1f3fb, 0x1f3ff}};
  return within(kIndicatorsAndSkinTones, code_point) ||
         (code_point >= 0x2600 &&
          utf8proc_get_property(code_point)->boundclass == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC);
}

int utf8proc_options(const TextRules& rules) {
  int options = UTF8PROC_IGNORE;
  if (rules.fold_case) options |= UTF8PROC_CASEFOLD;
  if (rules.form != NormalForm::kNone) options |= UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  if (rules.form == NormalForm::kNfkc) options |= UTF8PROC_COMPAT;
  return options;
}

// Normalises `count` code points' worth of UTF-8 into `code_points`.
void map(const uint8_t* text, uint64_t size, int options, std::vector<int32_t>& code_points) {
  code_points.resize(std::max<size_t>(code_points.capacity(), 32));
  for (;;) {
    auto n =
        utf8proc_decompose(text, static_cast<utf8proc_ssize_t>(size), code_points.data(),
                           static_cast<utf8proc_ssize_t>(code_points.size()), static_cast<utf8proc_option_t>(options));
    if (n < 0) throw_corrupt(std::string("text is not UTF-8: ") + utf8proc_errmsg(n));
    if (static_cast<size_t>(n) > code_points.size()) {
      code_points.resize(static_cast<size_t>(n));
      continue;
    }
    if (options & UTF8PROC_COMPOSE)
      n = utf8proc_normalize_utf32(code_points.data(), n, static_cast<utf8proc_option_t>(options));
    code_points.resize(static_cast<size_t>(n));
    return;
  }
}

// Puts long runs of marks into canonical order, which utf8proc would do in the square of their number. False, and
// nothing in `to`, when there are none.
bool sort_marks(const uint8_t* text, uint64_t size, std::string& to) {
  constexpr size_t kLong = 30;  // more in a row than the stream-safe format of UAX #15 lets pass
  struct Mark {
    utf8proc_propval_t combining_class;
    uint64_t at;
    int length;
  };
  std::vector<Mark> run;
  uint64_t copied = 0;
  const auto close = [&](uint64_t end) {
    if (run.size() > kLong) {
      to.append(reinterpret_cast<const char*>(text) + copied, run.front().at - copied);
      std::stable_sort(run.begin(), run.end(),
                       [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
      for (const Mark& m : run) to.append(reinterpret_cast<const char*>(text) + m.at, static_cast<size_t>(m.length));
      copied = end;
    }
    run.clear();
  };
  for (uint64_t at = 0; at < size;) {
    uint32_t code_point;
    const int length = read_code_point(text + at, size - at, &code_point);
    if (length == 0) return false;  // is refused where it is mapped
    const auto combining_class = utf8proc_get_property(static_cast<int32_t>(code_point))->combining_class;
    if (combining_class != 0)
      run.push_back({combining_class, at, length});
    else if (!run.empty())
      close(at);
    at += static_cast<uint64_t>(length);
  }
  close(size);
  if (copied != 0) to.append(reinterpret_cast<const char*>(text) + copied, size - copied);
  return copied != 0;
}

}  // namespace

CodePoints::CodePoints(const TextRules& rules) : rules_(rules), options_(utf8proc_options(rules)) {}

const CodePoints::Page* CodePoints::make_page(uint32_t number) const {
  auto page = std::make_unique<Page>();
  for (uint32_t i = 0; i < 256; i++) page->code_points[i] = look_up(static_cast<int32_t>(number << 8 | i));
  const std::lock_guard<std::mutex> lock(making_);
  auto same = std::find_if(different_.begin(), different_.end(), [&](const auto& other) {
    return std::equal(std::begin(page->code_points), std::end(page->code_points), std::begin(other->code_points));
  });
  if (same == different_.end()) same = different_.insert(same, std::move(page));
  pages_[number].store(same->get(), std::memory_order_release);
  return same->get();
}

Role CodePoints::normalised_role(int32_t code_point) const {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return within(kUnspaced, code_point) ? Role::kUnit : Role::kWord;
    case UTF8PROC_CATEGORY_PC: return Role::kWord;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return !rules_.ignore_punctuation || is_emoji(code_point) ? Role::kUnit : Role::kSeparator;
    default: return Role::kSeparator;
  }
}

CodePoint CodePoints::look_up(int32_t code_point) const {
  const Role own = normalised_role(code_point);
  CodePoint entry{Role::kComplex, own, false, 0};
  if (!utf8proc_codepoint_valid(code_point)) return {Role::kSeparator, Role::kSeparator, false, 0};
  const bool normalised = rules_.form != NormalForm::kNone;
  const utf8proc_property_t* property = utf8proc_get_property(code_point);
  if (normalised && (property->combining_class != 0 || within(kComposeBackwards, code_point))) return entry;
  constexpr uint16_t kNone = 0xffff;
  if (property->decomp_seqindex == kNone && property->casefold_seqindex == kNone && !property->ignorable) {
    entry.role = own;  // it stays as it is, like nearly all
    return entry;
  }
  uint8_t text[4];
  const auto size = utf8proc_encode_char(code_point, text);
  std::vector<int32_t> form;
  map(text, static_cast<uint64_t>(size), options_, form);
  if (form.size() == 1 && form[0] == code_point) {
    entry.role = own;
    return entry;
  }
  // Something else of one role and the same length can take its place where it stands.
  uint32_t bytes = 0;
  utf8proc_ssize_t length = 0;
  for (int32_t c : form) {
    uint8_t piece[4];
    const auto n = utf8proc_encode_char(c, piece);
    if (length + n > size || normalised_role(c) != Role::kWord) return entry;
    if (normalised && utf8proc_get_property(c)->combining_class != 0) return entry;
    for (int i = 0; i < n; i++) bytes |= static_cast<uint32_t>(piece[i]) << 8 * length++;
  }
  if (length != size) return entry;
  return {Role::kWord, own, true, bytes};
}

void CodePoints::normalise(const uint8_t* text, uint64_t size, std::string& to) const {
  std::vector<int32_t> form;
  std::string sorted;
  if (sort_marks(text, size, sorted)) text = reinterpret_cast<const uint8_t*>(sorted.data());
  map(text, size, options_, form);
  for (int32_t c : form) {
    uint8_t piece[4];
    to.append(reinterpret_cast<const char*>(piece), static_cast<size_t>(utf8proc_encode_char(c, piece)));
  }
}

int read_code_point(const uint8_t* text, uint64_t size, uint32_t* code_point) noexcept {
  auto more = [=](uint64_t i) { return (text[i] & 0xc0u) == 0x80u; };
  const uint32_t a = text[0];
  if (a < 0x80) return *code_point = a, 1;
  if (a < 0xc2) return 0;
  if (a < 0xe0) {
    if (size < 2 || !more(1)) return 0;
    return *code_point = (a & 0x1f) << 6 | (text[1] & 0x3fu), 2;
  }
  if (a < 0xf0) {
    if (size < 3 || !more(1) || !more(2)) return 0;
    const uint32_t c = (a & 0xf) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
    if (c < 0x800 || (c >= 0xd800 && c < 0xe000)) return 0;
    return *code_point = c, 3;
  }
  if (a < 0xf5) {
    if (size < 4 || !more(1) || !more(2) || !more(3)) return 0;
    const uint32_t c = (a & 7) << 18 | (text[1] & 0x3fu) << 12 | (text[2] & 0x3fu) << 6 | (text[3] & 0x3fu);
    if (c < 0x10000 || c >= 0x110000) return 0;
    return *code_point = c, 4;
  }
  return 0;
}

}  // namespace mithril::dedup
