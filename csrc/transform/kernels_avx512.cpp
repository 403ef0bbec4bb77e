#include "csrc/base/simd.h"
#include "csrc/transform/kernels.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,prefer-vector-width=512")
#define MITHRIL_ISA_NAMESPACE avx512
#include "csrc/transform/kernels_body.h"
#pragma GCC pop_options
#endif
