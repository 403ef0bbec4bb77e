#include "csrc/base/cpu.h"

#include "csrc/base/simd.h"

#include <cstdlib>
#include <string>

#include "csrc/base/error.h"

namespace mithril {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512: return "avx512";
    case Isa::kAvx2: return "avx2";
    case Isa::kSsse3: return "ssse3";
    default: return "scalar";
  }
}

bool isa_supported(Isa isa) {
#ifdef MITHRIL_SIMD
  __builtin_cpu_init();
  switch (isa) {
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
             __builtin_cpu_supports("avx512vbmi2");
    case Isa::kAvx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
    case Isa::kSsse3: return __builtin_cpu_supports("ssse3");
    default: return true;
  }
#else
  return isa == Isa::kScalar;
#endif
}

static Isa choose() {
  if (const char* forced = std::getenv("MITHRIL_FORCE_ISA"); forced && *forced) {
    for (Isa i : {Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512})
      if (std::string(forced) == isa_name(i)) {
        if (!isa_supported(i))
          throw_invalid(std::string("MITHRIL_FORCE_ISA=") + forced + ": this CPU or build does not have it");
        return i;
      }
    throw_invalid(std::string("MITHRIL_FORCE_ISA=") + forced + ": expected scalar, ssse3, avx2 or avx512");
  }
  for (Isa i : {Isa::kAvx512, Isa::kAvx2, Isa::kSsse3})
    if (isa_supported(i)) return i;
  return Isa::kScalar;
}

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

}  // namespace mithril
