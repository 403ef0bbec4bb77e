#include "csrc/dedup/options.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "csrc/base/error.h"

namespace mithril::dedup {

int least_agreement(const DedupOptions& options) {
  if (options.measure == Measure::kContainment) return 0;
  const double permutations = options.shape.permutations;
  const double share = options.threshold + (1 - options.threshold) / 16;
  const double deviation = std::sqrt(share * (1 - share) / permutations);
  return std::max(0, static_cast<int>(std::ceil(permutations * (share - 3.1 * deviation))));
}

void check(const DedupOptions& options) {
  check(options.rules), check(options.shape);
  if (!(options.threshold > 0 && options.threshold <= 1))
    throw_invalid("threshold " + std::to_string(options.threshold) + " is not within 0 to 1, 0 excluded");
}

}  // namespace mithril::dedup
