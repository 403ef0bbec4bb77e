// Rows of keys decoded and joined, or split and encoded, in one loop: what waits for the states of rans is then hidden
// by the rest of the work. Where there is a kernel for it, pieces go through it as far as it comes, and the usual way
// from there on; both make the same bytes.
#pragma once
#include "csrc/coder/rans_kernels.h"
#include "csrc/transform/kernels.h"

namespace mithril {

// The planes besides the key, all of them raw: the first one of `top_bits` bits, packed, then bytes. Pointers are those
// of the first component. Both return how many rows they did.
struct KeyRowKernels {
  // From the last row to the first, until one has a key outside of the window or a symbol of more than top_bits. `next`
  // is fetched into a cache, as many bytes as are coded; it may be any address.
  size_t (*encode)(const RansTable& table, uint32_t lanes, uint32_t top_bits, uint32_t base, const uint8_t* raw,
                   const uint8_t* next, size_t rows, uint8_t* const* planes, RansEncoder& encoder) noexcept;
  // From the first row to the last, until the decoder is at a limit. Reads up to 64 bytes of planes beyond what it
  // decodes. When `to` is not null, the result goes there past the caches, too: those of its lines of 64 bytes that lie
  // within it.
  size_t (*decode)(const RansTable& table, uint32_t lanes, uint32_t top_bits, uint32_t base,
                   const uint8_t* const* planes, size_t rows, uint8_t* raw, uint8_t* to, RansDecoder& decoder) noexcept;
};

// Null where there is none, or it would be no faster.
KeyRowKernels key_row_kernels(Isa isa, KeyLayout layout, uint32_t joined);

}  // namespace mithril
