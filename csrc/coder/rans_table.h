// One table of rans: what follows from its values and frequencies.
#pragma once
#include "csrc/coder/rans.h"

namespace mithril {

// Fills all that follows from size, values and frequencies; slots are dealt as in docs/format.md 6.6.
void complete(RansTable& table);
// The same for docs/format.md 6.5, where the slots of an entry lie together.
void complete_together(RansTable& table);

}  // namespace mithril
