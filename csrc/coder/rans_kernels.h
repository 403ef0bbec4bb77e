// The loops of the rans coders (docs/format.md 6.5 and 6.6), one set per instruction set, same bytes from all. A row is
// one symbol of each lane; `lanes` is 64 or 128. The binding (rans.cpp) checks and sizes everything, so a kernel cannot
// fail.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/cpu.h"

namespace mithril {

inline constexpr uint32_t kRansMaxTable = 64;
inline constexpr uint32_t kRansMaxLanes = 128;

// Entry k codes value[k]; the last is the escape. What lies from `size` on is zero. Rank r of entry k has the slot
// r + (r < low_ranks[k] ? low_start[k] : high_start[k]) mod 256: below 128 with the first, from 128 on with the second.
struct RansTable {
  uint32_t size;
  alignas(64) uint8_t value[kRansMaxTable];
  alignas(64) uint8_t frequency[kRansMaxTable];  // each at least 1, together 256
  alignas(64) uint8_t low_ranks[kRansMaxTable];
  alignas(64) uint8_t low_start[kRansMaxTable];
  alignas(64) uint8_t high_start[kRansMaxTable];
  alignas(64) uint8_t reciprocal_low[kRansMaxTable];  // of min(65535, 65536 div frequency)
  alignas(64) uint8_t reciprocal_high[kRansMaxTable];
  alignas(64) uint8_t index_of_slot[256];
  alignas(64) uint8_t index_of_turn[256];   // the same by the slot turned left by one bit, where entries lie together
  alignas(64) uint8_t index_of_value[256];  // size - 1, the escape, for values that have no entry
  // Of 16 turned slots the index is mostly that of the first, cell_base, and one more after each of the slots cell_last
  // (255 where it stays); the other cells are listed in `uneven`, and 0 here.
  alignas(16) uint8_t cell_base[16], cell_last[2][16], uneven[16];
  uint32_t uneven_count;
  bool small_frequencies;  // all below 128
  bool contiguous;         // value[k] = value[0] + k, but for the escape
};

// Tables chosen symbol by symbol: that of class_of[context].
struct RansClasses {
  const RansTable* tables;
  uint32_t count;  // 1 to kRansMaxClasses
  alignas(64) uint8_t class_of[256];
};
inline constexpr uint32_t kRansMaxClasses = 16;

// State i is 256 · high[i] + low[i].
struct RansStates {
  alignas(64) uint8_t high[kRansMaxLanes], low[kRansMaxLanes];
};

struct RansEncoder {
  RansStates states;
  uint8_t* bytes;    // both are written downwards from here: at most one byte each per symbol, and a kernel overwrites
  uint8_t* escapes;  // up to kRansSlack bytes below what it has written
};

struct RansDecoder {
  RansStates states;
  const uint8_t *bytes, *bytes_limit;  // both are read upwards, at most `lanes` bytes each in a row, and stand at or
  const uint8_t *escapes, *escapes_limit;  // before their limit when a row begins; kRansSlack bytes follow each limit
};

inline constexpr size_t kRansSlack = kRansMaxLanes;

struct RansKernels {
  // Codes symbols[0, rows · lanes) in front of what the encoder has coded.
  void (*encode)(const RansTable& table, uint32_t lanes, const uint8_t* symbols, size_t rows, RansEncoder&) noexcept;
  // Writes up to rows · lanes symbols, fewer when a limit is passed; returns how many rows. States may be any.
  size_t (*decode)(const RansTable& table, uint32_t lanes, uint8_t* symbols, size_t rows, RansDecoder&) noexcept;
  // The same with a table for each symbol; `context` holds as many bytes as `symbols`, and may be `symbols - lanes`:
  // the symbol that the lane coded before.
  void (*encode_classes)(const RansClasses&, uint32_t lanes, const uint8_t* symbols, const uint8_t* context,
                         size_t rows, RansEncoder&) noexcept;
  size_t (*decode_classes)(const RansClasses&, uint32_t lanes, uint8_t* symbols, const uint8_t* context, size_t rows,
                           RansDecoder&) noexcept;
};

const RansKernels& rans_kernels(Isa isa);

}  // namespace mithril
