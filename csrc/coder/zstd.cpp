#include <zstd.h>
#include <zstd_errors.h>

#include <cstring>
#include <new>
#include <stdexcept>

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
  if (!ZSTD_isError(n)) return n;
  if (ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall) return 0;
  throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(n));  // never a reason to store something else
}

// Window of a zstd frame, 1 for a frame of one segment (its window is its content); 0 when there is no zstd frame (RFC
// 8878, 3.1.1).
static uint64_t window_size(ByteView stream) {
  static constexpr uint8_t kMagic[4] = {0x28, 0xb5, 0x2f, 0xfd};
  if (stream.size < 6 || std::memcmp(stream.data, kMagic, 4) != 0) return 0;
  if (stream.data[4] & 0x20) return 1;
  uint64_t base = uint64_t{1} << (10 + (stream.data[5] >> 3));
  return base + base / 8 * (stream.data[5] & 7);
}

void decode_zstd(ByteView stream, const Plane& shape, uint8_t* out, ZstdContext& context) {
  ZSTD_DCtx*& d = context.impl_->decoder;
  if (!d && !(d = ZSTD_createDCtx())) throw std::bad_alloc();
  if (window_size(stream) == 0 || ZSTD_getFrameContentSize(stream.data, stream.size) != shape.bytes() ||
      ZSTD_getDictID_fromFrame(stream.data, stream.size) != 0 ||
      ZSTD_findFrameCompressedSize(stream.data, stream.size) != stream.size)
    throw_corrupt("zstd stream: not one frame of " + std::to_string(shape.bytes()) + " bytes without dictionary");
  if (window_size(stream) > kMaxBlockBytes)
    throw_corrupt("zstd stream: window of " + std::to_string(window_size(stream)) + " bytes");
  size_t n = ZSTD_decompressDCtx(d, out, shape.bytes(), stream.data, stream.size);
  if (ZSTD_isError(n)) throw_corrupt(std::string("zstd stream: ") + ZSTD_getErrorName(n));
  if (n != shape.bytes())
    throw_corrupt("zstd stream yields " + std::to_string(n) + " bytes, expected " + std::to_string(shape.bytes()));
}

}  // namespace mithril
