// Which instruction set the kernels use. Chosen once at first use; MITHRIL_FORCE_ISA=scalar|ssse3|avx2|avx512
// forces one (for tests).
#pragma once

namespace mithril {

enum class Isa { kScalar, kSsse3, kAvx2, kAvx512 };

// Throws invalid_argument when MITHRIL_FORCE_ISA names an unknown set or one that this CPU or build lacks.
Isa isa();
const char* isa_name(Isa isa);
bool isa_supported(Isa isa);

}  // namespace mithril
