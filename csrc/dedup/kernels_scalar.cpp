#include "csrc/dedup/kernels.h"
#define MITHRIL_ISA_NAMESPACE scalar
#define MITHRIL_VECTOR_BYTES 0
#include "csrc/dedup/kernels_body.h"
