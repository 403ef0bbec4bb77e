#include "csrc/dedup/zeroed_array.h"

#include <sys/mman.h>

#include <cerrno>
#include <string>

#include "csrc/base/error.h"

namespace mithril::dedup::detail {

void* map_zeros(uint64_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Error(errno, "no memory for a table of " + std::to_string(bytes) + " bytes", "");
  madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

void unmap(void* memory, uint64_t bytes) noexcept { munmap(memory, bytes); }

}  // namespace mithril::dedup::detail
