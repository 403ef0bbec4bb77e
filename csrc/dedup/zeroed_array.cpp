#include "csrc/dedup/zeroed_array.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "csrc/base/checked.h"
#include "csrc/base/error.h"
#include "csrc/base/parallel.h"

namespace mithril::dedup::detail {

constexpr uint64_t kHugePage = 2 << 20;
// MADV_POPULATE_WRITE, which older headers lack. Linux before 5.14 refuses it; all works as well then, but later.
constexpr int kPopulateWrite = 23;

void* map_zeros(uint64_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Error(errno, "no memory for a table of " + std::to_string(bytes) + " bytes", "");
  // Smaller ones would share a huge page, and with it memory that nobody uses, with their neighbours.
  if (bytes >= kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

void populate(void* memory, uint64_t bytes, int threads) {
  parallel_for(ceil_div(bytes, kHugePage), threads, [=](size_t piece) {
    const uint64_t from = piece * kHugePage;
    madvise(static_cast<uint8_t*>(memory) + from, std::min(kHugePage, bytes - from), kPopulateWrite);
  });
}

void unmap(void* memory, uint64_t bytes) noexcept { munmap(memory, bytes); }

}  // namespace mithril::dedup::detail
