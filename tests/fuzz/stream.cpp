// Coders: any bytes decode or are corrupt, with the same symbols under every instruction set, at once or in pieces.
//
// Input: coder u8, width and context u8, count u16, the stream. Context: none, given, or what the lane coded before.
#include <algorithm>
#include <iterator>

#include "csrc/coder/coder.h"
#include "tests/fuzz/target.h"

using namespace mithril;

static constexpr uint32_t kWidths[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128};
static constexpr uint64_t kMaxCount = 4096;

enum class Contexts { kNone, kGiven, kLane };

// As a decoder of blocks does it: by kRansUnit symbols, the lane's own among them as context.
static void decode_pieces(Coder coder, ByteView stream, const Plane& shape, Contexts contexts, const uint8_t* given,
                          uint8_t* out, RansScratch& scratch) {
  RansDecoding decoding(coder, stream, shape, contexts != Contexts::kNone, scratch, rans_kernels(isa()));
  for (uint64_t at = 0; at < shape.count; at += kRansUnit) {
    const uint8_t* context = contexts == Contexts::kLane ? out + at - decoding.lanes() : given + at;
    decoding.next(out + at, context, std::min(kRansUnit, shape.count - at));
  }
  decoding.finish();
}

template <class F>
static bool decodes(F&& decode_all) {
  try {
    decode_all();
    return true;
  } catch (const Error& e) {
    expect(e.kind() == ErrorKind::kCorrupt, "an error about a stream is corrupt");
    return false;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  auto coder = static_cast<Coder>(input.u8() % kCoders);
  uint8_t form = input.u8();
  uint32_t bits = kWidths[form % std::size(kWidths)];
  auto contexts = static_cast<Contexts>(form / std::size(kWidths) % 3);
  Plane shape{nullptr, input.u16() % (kMaxCount + 1), bits};
  Exact stream(input.rest()), given(shape.count), symbols(shape.bytes());
  for (uint64_t i = 0; i < given.size(); i++) given.data()[i] = static_cast<uint8_t>(i * 29 % 251);
  const bool rans = coder == Coder::kRans || coder == Coder::kContextRans;
  bool expected = false;
  under_each_isa([&](bool first) {
    static CoderScratch scratch;
    for (RansScratch& rans : scratch.rans) rans = RansScratch();  // new ones: old ones have room to spare
    Exact out(shape.bytes(), first ? 0 : 0xff), in_pieces(kRansMaxLanes + shape.bytes());
    bool whole = false, pieces = false;
    if (contexts != Contexts::kLane) {
      const uint8_t* context = contexts == Contexts::kGiven ? given.data() : nullptr;
      whole = decodes([&] { decode(coder, stream.view(), shape, context, out.data(), scratch); });
    }
    if (rans && bits <= 8) {
      uint8_t* to = in_pieces.data() + kRansMaxLanes;
      pieces = decodes([&] {
        decode_pieces(coder, stream.view(), shape, contexts, given.data(), to, scratch.rans[1]);
        check_bits(to, shape.count, bits);
      });
      if (contexts == Contexts::kLane) whole = pieces, std::memcpy(out.data(), to, shape.bytes());
      expect(whole == pieces && (!whole || std::memcmp(out.data(), to, shape.bytes()) == 0),
             "pieces decode to the same as all at once");
    }
    for (uint64_t i = 0; whole && bits < 8 && i < shape.count; i++)
      expect(out.data()[i] >> bits == 0, "symbols have no more bits than the plane");
    if (first)
      expected = whole, std::swap(symbols, out);
    else
      expect(whole == expected && (!whole || out == symbols), "every instruction set decodes the same");
  });
  return 0;
}
