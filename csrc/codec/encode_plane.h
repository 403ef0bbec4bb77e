// The policy for one plane that lies in memory as a whole: constant, context_rans, zstd or raw.
#pragma once
#include "csrc/codec/codec.h"

namespace mithril {

// Runs of components, kSampleRun each, at equal distances: all of them when there are few, else one run in `one_in`.
// Copies them to `out` and returns how many components.
uint64_t take_sample(const uint8_t* raw, uint64_t components, uint64_t width, uint64_t one_in, uint8_t* out);

// Whether the symbols of a sample, of `bits` bits, are about equally likely, so that there is nothing to code; looks at
// a part of a large one.
bool is_flat(const Sample& sample, uint32_t bits);
// Whether a 16th of the sampled runs have 32 equal symbols: zeros lie together, which symbol counts do not show.
bool has_runs(const Sample& sample);

RansOptions rans_options(Effort effort);

// Writes the stream to `out`, which has room for the raw one. `context` may be null; when classes of it promise less,
// they are used, and *used_context is set.
StreamRecord encode_plane(const Plane& plane, const uint8_t* context, bool is_float, const EncoderOptions& options,
                          Scratch& scratch, uint8_t* out, bool* used_context);

}  // namespace mithril
