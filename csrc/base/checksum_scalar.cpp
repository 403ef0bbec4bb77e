#include <cstddef>
#include <cstdint>
#define MITHRIL_ISA_NAMESPACE scalar
#include "csrc/base/checksum_kernels.h"
