#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("ssse3")
#define MITHRIL_ISA_NAMESPACE ssse3
#include "csrc/transform/kernels_body.h"
#pragma GCC pop_options
#endif
