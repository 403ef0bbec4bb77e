#include "csrc/base/simd.h"
#include "csrc/dedup/kernels.h"
#ifdef MITHRIL_SIMD
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("ssse3")
#define MITHRIL_ISA_NAMESPACE ssse3
#define MITHRIL_VECTOR_BYTES 16
#include "csrc/dedup/kernels_body.h"
#pragma GCC pop_options
#endif
