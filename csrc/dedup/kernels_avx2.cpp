#include "csrc/base/simd.h"
#include "csrc/dedup/kernels.h"
#ifdef MITHRIL_SIMD
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx2,popcnt")
#define MITHRIL_ISA_NAMESPACE avx2
#define MITHRIL_VECTOR_BYTES 32
#include "csrc/dedup/kernels_body.h"
#pragma GCC pop_options
#endif
