#include "csrc/transform/kernels.h"
#define MITHRIL_ISA_NAMESPACE scalar
#include "csrc/transform/kernels_body.h"
