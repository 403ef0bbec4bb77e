#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2")
#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/base/simd_avx2.h"
#include "csrc/transform/key_forms_narrow.h"
#include "csrc/transform/key_kernels_shuffled.h"
#pragma GCC pop_options
#endif
