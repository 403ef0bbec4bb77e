#include "csrc/coder/coder.h"

#include <string>

namespace mithril {

void decode(Coder coder, ByteView stream, const Plane& shape, uint8_t* out, CoderScratch& scratch) {
  switch (coder) {
    case Coder::kRaw: return decode_raw(stream, shape, out);  // cannot yield a symbol that is too large
    case Coder::kConstant: decode_constant(stream, shape, out); break;
    case Coder::kZstd: decode_zstd(stream, shape, out, scratch.zstd); break;
    case Coder::kRans: decode_rans(stream, shape, out, scratch.rans); break;
  }
  if (shape.bits < 8) {
    uint8_t all = 0;
    for (uint64_t i = 0; i < shape.count; i++) all |= out[i];
    if (all >> shape.bits) throw_corrupt("a symbol has more than " + std::to_string(shape.bits) + " bits");
  }
}

}  // namespace mithril
