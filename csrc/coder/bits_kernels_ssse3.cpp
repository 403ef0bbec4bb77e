#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/bits_shuffles.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("ssse3")
#include "csrc/base/simd_ssse3.h"
#define MITHRIL_ISA_NAMESPACE ssse3
#include "csrc/coder/bits_kernels_narrow.h"
#pragma GCC pop_options
#endif
