#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <new>

#include "csrc/coder/coder.h"

namespace mithril {

struct ZstdContext::Impl {
  ZSTD_CCtx* encoder = nullptr;  // made at first use: most threads only need one of the two
  ZSTD_DCtx* decoder = nullptr;
  ~Impl() {
    ZSTD_freeCCtx(encoder);
    ZSTD_freeDCtx(decoder);
  }
};

ZstdContext::ZstdContext() : impl_(std::make_unique<Impl>()) {}
ZstdContext::~ZstdContext() = default;

uint32_t zstd_version() noexcept { return ZSTD_versionNumber(); }

uint64_t encode_zstd(const Plane& plane, int level, uint8_t* out, uint64_t capacity, ZstdContext& context) {
  ZSTD_CCtx*& c = context.impl_->encoder;
  if (!c && !(c = ZSTD_createCCtx())) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
  size_t n = ZSTD_compress2(c, out, capacity, plane.symbols, plane.bytes());
  return ZSTD_isError(n) ? 0 : n;  // the only error that can happen here is a full `out`
}

void decode_zstd(ByteView stream, const Plane& shape, uint8_t* out, ZstdContext& context) {
  ZSTD_DCtx*& d = context.impl_->decoder;
  if (!d && !(d = ZSTD_createDCtx())) throw std::bad_alloc();
  ZSTD_frameHeader header;
  if (ZSTD_getFrameHeader(&header, stream.data, stream.size) != 0 || header.frameType != ZSTD_frame ||
      header.dictID != 0 || header.frameContentSize != shape.bytes() ||
      ZSTD_findFrameCompressedSize(stream.data, stream.size) != stream.size)
    throw_corrupt("zstd stream: not one frame of " + std::to_string(shape.bytes()) + " bytes without dictionary");
  if (header.windowSize > kMaxBlockBytes)
    throw_corrupt("zstd stream: window of " + std::to_string(header.windowSize) + " bytes");
  size_t n = ZSTD_decompressDCtx(d, out, shape.bytes(), stream.data, stream.size);
  if (ZSTD_isError(n)) throw_corrupt(std::string("zstd stream: ") + ZSTD_getErrorName(n));
  if (n != shape.bytes())
    throw_corrupt("zstd stream yields " + std::to_string(n) + " bytes, expected " + std::to_string(shape.bytes()));
}

}  // namespace mithril
