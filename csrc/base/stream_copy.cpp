#include "csrc/base/stream_copy.h"

#include <cstring>

#include "csrc/base/cpu.h"
#include "csrc/base/simd.h"
#ifdef MITHRIL_SIMD
#include <immintrin.h>
#endif

namespace mithril {

#ifdef MITHRIL_SIMD
static constexpr size_t kLine = 64;

// Whole lines, to an address that is a multiple of kLine.
__attribute__((target("avx512f"))) static void stream_by_64(uint8_t* to, const uint8_t* from, size_t lines) noexcept {
  for (size_t i = 0; i < lines; i++)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i * kLine), _mm512_loadu_si512(from + i * kLine));
}

__attribute__((target("avx"))) static void stream_by_32(uint8_t* to, const uint8_t* from, size_t lines) noexcept {
  for (size_t i = 0; i < lines * kLine; i += 32)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i)));
}

static void stream_by_16(uint8_t* to, const uint8_t* from, size_t lines) noexcept {
  for (size_t i = 0; i < lines * (kLine / 16); i++)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to) + i, _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i));
}

void stream_copy(uint8_t* to, const uint8_t* from, size_t size) noexcept {
  size_t head = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine;
  if (size < head + kLine) {
    if (size) std::memcpy(to, from, size);
    return;
  }
  std::memcpy(to, from, head);
  to += head, from += head, size -= head;
  auto stream = isa() == Isa::kAvx512 ? stream_by_64 : isa() == Isa::kAvx2 ? stream_by_32 : stream_by_16;
  stream(to, from, size / kLine);
  std::memcpy(to + size / kLine * kLine, from + size / kLine * kLine, size % kLine);
}

void finish_streaming() noexcept { _mm_sfence(); }
#else
void stream_copy(uint8_t* to, const uint8_t* from, size_t size) noexcept {
  if (size) std::memcpy(to, from, size);
}

void finish_streaming() noexcept {}
#endif

}  // namespace mithril
