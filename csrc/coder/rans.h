// The rans coder with kernels of one's choice: what tests and benchmarks call. All others use csrc/coder/coder.h.
#pragma once
#include "csrc/coder/coder.h"
#include "csrc/coder/rans_kernels.h"

namespace mithril {

uint64_t encode_rans(const Plane& plane, const ByteCounts& counts, uint32_t max_table, uint8_t* out, uint64_t capacity,
                     RansScratch& scratch, const RansKernels& kernels);
void decode_rans(ByteView stream, const Plane& shape, uint8_t* out, RansScratch& scratch, const RansKernels& kernels);

}  // namespace mithril
