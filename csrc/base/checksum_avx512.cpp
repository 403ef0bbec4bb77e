#include "csrc/base/simd.h"
#ifdef MITHRIL_SIMD
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#pragma GCC push_options
#pragma GCC target("avx512f")
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define XXH_VECTOR 3 /* XXH_AVX512 */
#define MITHRIL_ISA_NAMESPACE avx512
#include "csrc/base/checksum_kernels.h"
#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
