#include "csrc/base/simd.h"
#ifdef MITHRIL_SIMD
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#pragma GCC push_options
#pragma GCC target("avx512f")
#define XXH_VECTOR 3 /* XXH_AVX512 */
#define MITHRIL_ISA_NAMESPACE avx512
#include "csrc/base/checksum_kernels.h"
#pragma GCC pop_options
#endif
