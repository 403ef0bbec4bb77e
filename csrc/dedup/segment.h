// Documents of an index, never changed once made: band tables, digests, hashes, texts and ids, as
// docs/dedup-index-format.md lays them out in a file. The memory is a mapped file, a file read in full, or arrays just
// made; whatever it holds, looking into it is safe: what cannot be is corrupt, with section and offset.
//
// Sections, for n documents (numbers 0 … n − 1 in the order of preference; none is without words):
//   ids            n × i64; with ids that are texts (n + 1) × u64, where each begins in id_bytes
//   id_bytes       UTF-8, one after the other
//   digests        n × permutations / 2 bytes
//   hashes         n × 2 u64, XXH3-128 of the texts (low, high), ascending by (low, high, number)
//   hash_numbers   n × u32, whose hash it is
//   text_offsets   (n + 1) × u64, where each text begins in text_bytes; empty when texts are not stored
//   text_bytes
//   band 0 …       key << 32 | number as u64, ascending; at most kMaxPerKey of a key
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/dedup/band_table.h"
#include "csrc/dedup/rules.h"

namespace mithril::dedup {

inline constexpr uint64_t kMaxIndexDocuments = 0xfffffffe;

enum class IdKind : uint8_t { kAutomatic, kNumbers, kTexts };
const char* id_kind_name(IdKind kind);

enum Section : uint32_t { kIds, kIdBytes, kDigests, kHashes, kHashNumbers, kTextOffsets, kTextBytes, kFirstBand };
std::string section_name(uint32_t section);

// What was chosen when the index was made.
struct IndexParameters {
  TextRules rules;
  SketchShape shape;
  Measure measure = Measure::kJaccard;
  double threshold = 0.85;
  bool verify = true;
  bool stores_texts = true;
  IdKind ids = IdKind::kAutomatic;
};

// Where ascending 64-bit values begin that have the same leading bits: about four of them, when they are hashes. For
// arrays in memory; it takes a byte a value, and a look-up two lines of the cache.
class Directory {
 public:
  Directory() = default;
  Directory(const uint64_t* values, uint64_t count, uint64_t stride);
  bool empty() const { return starts_.empty(); }
  // The first value that may have the leading bits of `target`.
  uint64_t start(uint64_t target) const { return starts_[target >> shift_]; }
  void prefetch(uint64_t target) const { __builtin_prefetch(&starts_[target >> shift_]); }

 private:
  int shift_ = 0;
  std::vector<uint32_t> starts_;
};

class Segment {
 public:
  // `sections`: kFirstBand + bands of them, each aligned to 8 bytes; `offsets` says where they begin in the file
  // `name`, for errors. Throws corrupt when a size is not that of `documents`.
  Segment(const IndexParameters& parameters, uint64_t documents, std::vector<ByteView> sections,
          std::vector<uint64_t> offsets, std::shared_ptr<const void> owner, std::string name);

  uint32_t documents() const { return documents_; }
  const IndexParameters& parameters() const { return parameters_; }
  ByteView section(uint32_t section) const { return sections_[section]; }
  const std::string& name() const { return name_; }
  uint64_t left_out() const;  // (document, band) pairs that are missing since the key was full

  // Entries of a key in a band, at most kMaxPerKey; numbers of documents, ascending.
  struct Run {
    const uint64_t* entries;
    uint64_t count;
  };
  Run find(uint32_t band, uint32_t key) const;
  // Fetches what find will look at first, for all bands at once.
  void prefetch(const uint32_t* keys) const;
  uint32_t number(uint32_t band, const uint64_t* entry) const;

  // Appends the numbers of the first documents, at most `limit`, whose texts have this hash.
  void find(const Hash128& hash, uint64_t limit, std::vector<uint32_t>& numbers) const;

  // The owner of hash `place` of the section.
  uint32_t hash_number(uint64_t place) const;

  const uint8_t* digests(uint32_t number) const { return sections_[kDigests].data + number * digest_bytes_; }
  std::string_view text(uint32_t number) const { return piece(kTextOffsets, kTextBytes, number); }
  // Piece `number` of what a section of offsets cuts a section of bytes into.
  std::string_view piece(uint32_t offsets, uint32_t bytes, uint32_t number) const;
  int64_t id(uint32_t number) const { return reinterpret_cast<const int64_t*>(sections_[kIds].data)[number]; }
  std::string_view text_id(uint32_t number) const { return piece(kIds, kIdBytes, number); }

  // Makes find fast, for a segment in memory whose order is known to be right. Not while others use it.
  void make_directories();

  // Reads everything, and throws corrupt where an order, a number or an offset is not as said above.
  void check() const;

  // About the bytes at `position` of a section.
  [[noreturn]] void fail(uint32_t section, uint64_t position, const std::string& what) const;

 private:
  void check_sizes() const;
  void check_pieces(uint32_t offsets, uint32_t bytes) const;
  void check_hashes() const;
  void check_band(uint32_t band) const;

  IndexParameters parameters_;
  uint32_t documents_;
  uint64_t digest_bytes_;
  std::vector<ByteView> sections_;
  std::vector<uint64_t> offsets_;
  std::vector<Directory> directories_;  // of the bands; empty when they were not made
  Directory of_hashes_;
  std::shared_ptr<const void> owner_;
  std::string name_;
};

}  // namespace mithril::dedup
