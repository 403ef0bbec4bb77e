#include "csrc/base/simd.h"
#include "csrc/codec/key_rows.h"
#include "csrc/coder/bits_shuffles.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,popcnt")
#ifndef __clang__
#pragma GCC diagnostic push
// GCC 12 means the registers that its own intrinsics leave undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include "csrc/coder/rans_rows_avx512.h"
#define MITHRIL_ISA_NAMESPACE avx512
#define MITHRIL_DECODES_ROWS 1
#include "csrc/coder/bits_rows_avx512.h"
#include "csrc/transform/key_forms_avx512.h"

#include "csrc/codec/key_rows_shuffled.h"
#ifndef __clang__
#pragma GCC diagnostic pop
#endif
#pragma GCC pop_options
#endif
