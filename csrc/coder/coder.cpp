#include "csrc/coder/coder.h"

#include <string>

namespace mithril {

void check_bits(const uint8_t* symbols, uint64_t count, uint32_t bits) {
  if (bits >= 8) return;
  uint8_t all = 0;
  for (uint64_t i = 0; i < count; i++) all |= symbols[i];
  if (all >> bits) throw_corrupt("a symbol has more than " + std::to_string(bits) + " bits");
}

void decode(Coder coder, ByteView stream, const Plane& shape, const uint8_t* context, uint8_t* out,
            CoderScratch& scratch) {
  switch (coder) {
    case Coder::kRaw: return decode_raw(stream, shape, out);  // cannot yield a symbol that is too large
    case Coder::kConstant: decode_constant(stream, shape, out); break;
    case Coder::kZstd: decode_zstd(stream, shape, out, scratch.zstd); break;
    case Coder::kRans: decode_rans(coder, stream, shape, nullptr, out, scratch.rans[0], rans_kernels(isa())); break;
    case Coder::kContextRans:
      return decode_rans(coder, stream, shape, context, out, scratch.rans[0], rans_kernels(isa()));
    case Coder::kPalette: return decode_palette(stream, shape, out, scratch);
  }
  check_bits(out, shape.count, shape.bits);
}

}  // namespace mithril
