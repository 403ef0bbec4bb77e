// One block of a tensor: split, encode, and back. Which transform and coders a block gets is the policy of
// encode_block; decode_block follows whatever the table says, so the policy is free to improve without a change of the
// format.
#pragma once
#include <array>
#include <cstdint>

#include "csrc/base/buffer_pool.h"
#include "csrc/base/dtype.h"
#include "csrc/coder/coder.h"
#include "csrc/format/index.h"
#include "csrc/format/table.h"

namespace mithril {

// How hard the encoder tries (docs/decisions/0006): one format, three policies.
enum class Effort { kFast, kDefault, kBest };

struct EncoderOptions {
  int zstd_level = 3;              // 1 to 22, on planes that zstd codes; and the effort
  bool split = true;               // false: no byte planes and no keys
  uint64_t block_bytes = 1 << 19;  // raw bytes of a block, rounded down to whole elements; at most kMaxBlockBytes

  void check() const;  // throws invalid_argument
  Effort effort() const { return zstd_level == 1 ? Effort::kFast : zstd_level < 16 ? Effort::kDefault : Effort::kBest; }
};

// Elements of the blocks of a tensor: those of options.block_bytes, or more where a block says little: constant, or
// incompressible.
uint64_t block_elements(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options);

// Components of a piece: what passes through the first-level cache at a time.
inline constexpr uint64_t kPiece = 4096;

// Memory that one thread needs to code blocks; reused.
struct Scratch {
  Buffer planes{2 * kMaxBlockBytes + 4096};  // all planes of a block: two bytes for each of an 8-bit float at most
  Buffer block{kMaxBlockBytes + 64};         // a block of which only a part is wanted
  Buffer nonzero{kMaxBlockBytes + 64};       // the components of a block that are not zero
  Buffer mask{kMaxBlockBytes};
  Buffer sample{2 * kMaxBlockBytes};  // components, and then the planes made of them
  Buffer joined{8 * kPiece};          // a piece on its way out
  Buffer pieces{kMaxPlanes * (kPiece + kRansMaxLanes)};
  RansModel key_model, candidate_model;
  const uint8_t* next = nullptr;  // what this thread will probably encode after a block, to be fetched meanwhile
  CoderScratch coder;
};

struct EncodedBlock {
  Recipe recipe;
  std::array<StreamRecord, kMaxPlanes> streams{};
  uint64_t stored_size = 0, stored_checksum = 0, raw_checksum = 0;
  const uint8_t* data =
      nullptr;  // the stored bytes: in `out` of encode_block, or `raw` itself when the block is stored raw
};

// Room that `out` needs for a block of `raw_bytes`.
constexpr uint64_t encoded_capacity(uint64_t raw_bytes) { return raw_bytes + 64; }

// The stored bytes are never more than the raw bytes. The result depends on the arguments alone.
EncodedBlock encode_block(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options,
                          Scratch& scratch, uint8_t* out);

// The block as its raw bytes, where they lie.
EncodedBlock stored_raw(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, uint64_t raw_checksum);

// Reads and checks the table of an entry (docs/format.md 3.1), its content id included; `bytes` is without padding.
Table read_table(ByteView bytes, const Entry& entry, const std::string& name);

// Decodes block `number` to `out` (its raw bytes), checking the stored bytes before and the raw bytes after.
// `stored.data` may be `out` itself when is_stored_raw(): then nothing is copied. Errors name the block and its offset.
void decode_block(const Table& table, uint64_t number, ByteView stored, const DTypeInfo& dtype, uint64_t elements,
                  uint8_t* out, Scratch& scratch, const std::string& name);
bool is_stored_raw(const Table& table, uint64_t number);
void check_stored(const BlockRecord& block, ByteView stored, uint64_t number, const std::string& name);

}  // namespace mithril
