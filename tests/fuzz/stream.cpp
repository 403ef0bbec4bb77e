// Coders: any bytes decode or are corrupt, with the same symbols under every instruction set.
//
// Input: coder u8, width u8, count u16, the stream.
#include <iterator>

#include "csrc/coder/coder.h"
#include "tests/fuzz/target.h"

using namespace mithril;

static constexpr uint32_t kWidths[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128};
static constexpr uint64_t kMaxCount = 4096;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  auto coder = static_cast<Coder>(input.u8() % kCoders);
  uint32_t bits = kWidths[input.u8() % std::size(kWidths)];
  Plane shape{nullptr, input.u16() % (kMaxCount + 1), bits};
  Exact stream(input.rest()), symbols(shape.bytes());
  bool decodes = false;
  under_each_isa([&](bool first) {
    Exact out(shape.bytes(), first ? 0 : 0xff);
    CoderScratch scratch;  // a new one: an old one has room to spare
    bool decoded = true;
    try {
      decode(coder, stream.view(), shape, out.data(), scratch);
    } catch (const Error& e) {
      expect(e.kind() == ErrorKind::kCorrupt, "an error about a stream is corrupt");
      decoded = false;
    }
    for (uint64_t i = 0; decoded && bits < 8 && i < shape.count; i++)
      expect(out.data()[i] >> bits == 0, "symbols have no more bits than the plane");
    if (first)
      decodes = decoded, std::swap(symbols, out);
    else
      expect(decoded == decodes && (!decoded || out == symbols), "every instruction set decodes the same");
  });
  return 0;
}
