#include "csrc/base/simd.h"
#ifdef MITHRIL_SIMD
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#pragma GCC push_options
#pragma GCC target("avx2")
#define XXH_VECTOR 2 /* XXH_AVX2 */
#define MITHRIL_ISA_NAMESPACE avx2
#include "csrc/base/checksum_kernels.h"
#pragma GCC pop_options
#endif
