#include "csrc/base/simd.h"
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/bits_shuffles.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2")
#include "csrc/base/simd_avx2.h"
#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/coder/bits_kernels_narrow.h"
#pragma GCC pop_options
#endif
