#include "csrc/base/simd.h"
#include "csrc/dedup/kernels.h"
#ifdef MITHRIL_SIMD
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,popcnt,prefer-vector-width=512")
#define MITHRIL_ISA_NAMESPACE avx512
#define MITHRIL_VECTOR_BYTES 64
#include "csrc/dedup/kernels_body.h"
#pragma GCC pop_options
#endif
