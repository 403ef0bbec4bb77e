#include "csrc/dedup/batch_sketches.h"

#include "csrc/base/checksum.h"
#include "csrc/dedup/shares.h"

namespace mithril::dedup {

BatchSketches::BatchSketches(const Texts& texts, const Sketcher& sketcher, int threads, const Progress& progress)
    : bands(static_cast<uint64_t>(sketcher.shape().bands)), digest_bytes(sketcher.digest_bytes()) {
  uint64_t n = texts.count();
  keys.resize(n * bands), digests.resize(n * digest_bytes), hashes.resize(n), empty.resize(n), bytes.resize(n);
  for_each_share(n, threads, "sketch", progress, [&](uint64_t, uint64_t first, uint64_t last) {
    Sketcher::ScratchPointer scratch = sketcher.scratch();
    std::string holder;
    for (uint64_t i = first; i < last; i++) {
      std::string_view text = texts.text(i, holder);
      bytes[i] = text.size();
      hashes[i] = xxh3_128(text.data(), text.size());
      try {
        empty[i] = !sketcher.sketch(text, *scratch, &keys[i * bands], &digests[i * digest_bytes]);
      } catch (const Error& e) {
        throw Error(e.kind(), "text " + std::to_string(i) + ": " + e.what());
      }
    }
  });
}

}  // namespace mithril::dedup
