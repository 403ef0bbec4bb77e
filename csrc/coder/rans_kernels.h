// The loops of the rans coder (docs/format.md 6.5), one set per instruction set, same bytes from all. A row is one
// symbol of each lane; `lanes` is 64 or 128. The binding (rans.cpp) checks and sizes everything, so a kernel cannot
// fail.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/base/cpu.h"

namespace mithril {

inline constexpr uint32_t kRansMaxTable = 32;
inline constexpr uint32_t kRansMaxLanes = 128;

// Entry k codes value[k]; the last is the escape. What lies from `size` on is zero.
struct RansTable {
  uint32_t size;
  alignas(32) uint8_t value[kRansMaxTable];
  alignas(32) uint8_t frequency[kRansMaxTable];       // each at least 1, together 256
  alignas(32) uint8_t start[kRansMaxTable];           // sum of the frequencies before
  alignas(32) uint8_t reciprocal_low[kRansMaxTable];  // of min(65535, 65536 div frequency)
  alignas(32) uint8_t reciprocal_high[kRansMaxTable];
  alignas(64) uint8_t index_of_slot[256];
  alignas(64) uint8_t index_of_value[256];  // size - 1, the escape, for values that have no entry
};

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
};

const RansKernels& rans_kernels(Isa isa);

}  // namespace mithril
