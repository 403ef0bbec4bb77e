// What to look for, and what to do with it: the choices of a job.
#pragma once
#include "csrc/dedup/rules.h"

namespace mithril::dedup {

enum class Clusters { kStar, kComponents };
enum class Empty { kKeep, kRemove };

struct DedupOptions {
  TextRules rules;
  SketchShape shape;
  Measure measure = Measure::kJaccard;
  double threshold = 0.85;
  bool verify = true;  // else the estimate decides
  Clusters clusters = Clusters::kStar;
  Empty empty = Empty::kKeep;
  int threads = 0;
};

// Texts whose similarity is the threshold agree in fewer digests than this once in a thousand times: who does need not
// be compared exactly.
int least_agreement(const DedupOptions& options);

// Throws invalid_argument with the field, its value and its limits.
void check(const DedupOptions& options);

}  // namespace mithril::dedup
