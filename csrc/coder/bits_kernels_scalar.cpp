#define MITHRIL_ISA_NAMESPACE scalar
#include "csrc/coder/bits_kernels.h"
#include "csrc/coder/bits_kernels_body.h"
