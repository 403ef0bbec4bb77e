// MITHRIL_SIMD is defined where the x86 variants of the kernels are compiled; -DMITHRIL_NO_SIMD leaves them out.
#pragma once
#if defined(__x86_64__) && !defined(MITHRIL_NO_SIMD)
#define MITHRIL_SIMD 1
#endif
