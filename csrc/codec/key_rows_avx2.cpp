#include "csrc/base/simd.h"
#include "csrc/codec/key_rows.h"
#include "csrc/coder/bits_shuffles.h"
#ifdef MITHRIL_SIMD
#pragma GCC push_options
#pragma GCC target("avx2,popcnt")
#include "csrc/coder/rans_rows_avx2.h"
#define MITHRIL_ISA_NAMESPACE avx2
#define MITHRIL_DECODES_ROWS 0
#include "csrc/coder/bits_rows_narrow.h"
#include "csrc/transform/key_forms_narrow.h"

#include "csrc/codec/key_rows_shuffled.h"
#pragma GCC pop_options
#endif
