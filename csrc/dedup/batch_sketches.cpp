#include "csrc/dedup/batch_sketches.h"

#include <algorithm>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/base/parallel.h"

namespace mithril::dedup {

BatchSketches::BatchSketches(const Texts& texts, const Sketcher& sketcher, int threads)
    : bands(static_cast<uint64_t>(sketcher.shape().bands)), digest_bytes(sketcher.digest_bytes()) {
  uint64_t n = texts.count();
  keys.resize(n * bands), digests.resize(n * digest_bytes), hashes.resize(n), empty.resize(n), bytes.resize(n);
  parallel_for(ceil_div(n, kTextsPerShare), threads, [&](size_t share) {
    Sketcher::ScratchPointer scratch = sketcher.scratch();
    std::string holder;
    for (uint64_t i = share * kTextsPerShare; i < std::min(n, (share + 1) * kTextsPerShare); i++) {
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
