#include "csrc/dedup/words.h"

#include <algorithm>
#include <cstring>

#include "csrc/base/error.h"

namespace mithril::dedup {

namespace {

constexpr uint64_t kPiece = 16 << 10;

// Whether `text` ends at `end` with what never changes together with what follows: white space, or the stops and commas
// of texts without spaces.
bool may_end(std::string_view text, uint64_t end) {
  const char c = text[end - 1];
  if (c == ' ' || c == '\n' || c == '\t' || c == '\r') return true;
  if (end < 3) return false;
  const std::string_view last = text.substr(end - 3, 3);
  return last == "\u3001" || last == "\u3002" || last == "\uff0c";
}

// Where the piece that begins at `position` ends.
uint64_t end_of_piece(std::string_view text, uint64_t position) {
  if (text.size() - position <= kPiece) return text.size();
  for (uint64_t end = position + kPiece; end > position; end--)
    if (may_end(text, end)) return end;
  for (uint64_t end = position + kPiece + 1; end < text.size(); end++)
    if (may_end(text, end)) return end;
  return text.size();
}

void set_bits(uint64_t* mask, uint64_t at, int count) {
  const uint64_t bits = (uint64_t{1} << count) - 1;
  mask[at / 64] |= bits << at % 64;
  if (at % 64 + static_cast<uint64_t>(count) > 64) mask[at / 64 + 1] |= bits >> (64 - at % 64);
}

bool bit(const uint64_t* mask, uint64_t at) { return mask[at / 64] >> at % 64 & 1; }

}  // namespace

Words::Found Words::classify(const uint8_t* piece, uint64_t size, bool normalised, uint64_t origin,
                             Scratch& scratch) const {
  const uint64_t blocks = size / 64 + 2;  // one more than there are, for the bits of a code point across the end
  if (scratch.word.size() < blocks) {
    scratch.word.resize(blocks), scratch.high.resize(blocks);
    scratch.lower.resize(size + 2 * kSlack);
  }
  const bool beyond_ascii =
      kernels_.classify(piece, size, rules_.fold_case, scratch.lower.data(), scratch.word.data(), scratch.high.data());
  Found found;
  if (!beyond_ascii && rules_.ignore_punctuation) return found;
  scratch.word[size / 64 + 1] = 0;
  scratch.first.assign(blocks, 0);
  if (beyond_ascii) found = look_at_high(piece, size, normalised, origin, scratch);
  if (!rules_.ignore_punctuation) mark_punctuation(size, scratch), found.units = true;
  return found;
}

Words::Found Words::look_at_high(const uint8_t* piece, uint64_t size, bool normalised, uint64_t origin,
                                 Scratch& scratch) const {
  Found found;
  uint8_t* lower = scratch.lower.data();
  uint64_t next = 0;  // first byte that no code point has covered
  for (uint64_t block = 0; block * 64 < size; block++) {
    uint64_t high = scratch.high[block];
    while (high) {
      const uint64_t at = block * 64 + static_cast<unsigned>(__builtin_ctzll(high));
      high &= high - 1;
      if (at < next) continue;
      uint32_t code_point;
      const int length = read_code_point(piece + at, size - at, &code_point);
      if (length == 0) throw_corrupt("text is not UTF-8 at byte " + std::to_string(origin + at));
      next = at + static_cast<uint64_t>(length);
      const CodePoint& entry = code_points_[code_point];
      const Role role = normalised ? entry.normalised_role : entry.role;
      if (role == Role::kSeparator) continue;
      set_bits(scratch.word.data(), at, length);
      if (role == Role::kUnit) {
        set_bits(scratch.first.data(), at, 1), set_bits(scratch.first.data(), next, 1);
        found.units = true;
      } else if (role == Role::kComplex) {
        found.complex = true;
      } else if (entry.replaced && !normalised) {
        std::memcpy(lower + at, &entry.bytes, static_cast<size_t>(length));
      }
    }
  }
  return found;
}

void Words::mark_punctuation(uint64_t size, Scratch& scratch) const {
  for (uint64_t i = 0; i < size; i++) {
    const uint8_t c = scratch.lower[i];
    if (c <= ' ' || c >= 0x7f || bit(scratch.word.data(), i)) continue;
    set_bits(scratch.word.data(), i, 1), set_bits(scratch.first.data(), i, 1);
    set_bits(scratch.first.data(), i + 1, 1);
  }
}

// Copies the piece to scratch.normalised with every run that reaches beyond ASCII in normal form, together with the
// code point before it, which a mark may change.
void Words::normalise_runs(uint64_t size, Scratch& scratch) const {
  const uint8_t* text = scratch.lower.data();
  const auto stays = [&](uint64_t i) { return text[i] < 0x80 && !bit(scratch.word.data(), i); };
  std::string& to = scratch.normalised;
  to.clear();
  uint64_t done = 0;
  for (uint64_t i = 0; i < size; i++) {
    if (text[i] < 0x80) continue;
    uint64_t begin = i, end = i + 1;
    while (begin > done && !stays(begin - 1)) begin--;
    if (begin > done) begin--;
    while (end < size && !stays(end)) end++;
    to.append(reinterpret_cast<const char*>(text + done), begin - done);
    code_points_.normalise(text + begin, end - begin, to);
    done = i = end;
  }
  to.append(reinterpret_cast<const char*>(text + done), size - done);
}

template <class Hash>
void Words::read_piece(std::string_view text, uint64_t& position, Scratch& scratch, Row<Hash>& hashes) const {
  const uint64_t end = end_of_piece(text, position);
  const auto* piece = reinterpret_cast<const uint8_t*>(text.data()) + position;
  uint64_t size = end - position;
  Found found = classify(piece, size, false, position, scratch);
  if (found.complex) {
    normalise_runs(size, scratch);
    size = scratch.normalised.size();
    found = classify(reinterpret_cast<const uint8_t*>(scratch.normalised.data()), size, true, position, scratch);
  }
  position = end;
  const uint64_t* first = found.units ? scratch.first.data() : nullptr;
  // Without units there is a byte between two words.
  Hash* to = hashes.room((first ? size : size / 2 + 1) + kLanes);
  if constexpr (sizeof(Hash) == 4)
    hashes.grow(kernels_.hash32(scratch.lower.data(), size, scratch.word.data(), first, to));
  else
    hashes.grow(kernels_.hash64(scratch.lower.data(), size, scratch.word.data(), first, to));
}

void Words::read(std::string_view text, uint64_t& position, Scratch& scratch, Row<uint32_t>& hashes) const {
  read_piece(text, position, scratch, hashes);
}
void Words::read(std::string_view text, uint64_t& position, Scratch& scratch, Row<uint64_t>& hashes) const {
  read_piece(text, position, scratch, hashes);
}

}  // namespace mithril::dedup
