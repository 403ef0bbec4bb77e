#include "csrc/base/buffer_pool.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace mithril {

void advise_huge_pages(void* data, size_t size) {
  constexpr uintptr_t kHuge = uintptr_t{2} << 20;
  if (size < 2 * kHuge) return;
  uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHuge - 1) & ~(kHuge - 1);
  uintptr_t end = (reinterpret_cast<uintptr_t>(data) + size) & ~(kHuge - 1);
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

Buffer::Buffer(size_t size) : capacity_((size + 63) / 64 * 64) {
  if (capacity_ == 0) capacity_ = 64;
  data_ = static_cast<uint8_t*>(
      std::aligned_alloc(capacity_ < (4u << 20) ? 64 : 2u << 20,
                         capacity_ < (4u << 20) ? capacity_ : (capacity_ + (2u << 20) - 1) >> 21 << 21));
  if (!data_) throw std::bad_alloc();
  advise_huge_pages(data_, capacity_);
}

Buffer::~Buffer() { std::free(data_); }

std::shared_ptr<Buffer> BufferPool::take() {
  std::unique_ptr<Buffer> buffer;
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->free.empty()) {
      buffer = std::move(state_->free.back());
      state_->free.pop_back();
    }
  }
  if (!buffer) buffer = std::make_unique<Buffer>(size_);
  return std::shared_ptr<Buffer>(buffer.release(), [state = state_](Buffer* b) {
    std::unique_ptr<Buffer> owned(b);
    std::lock_guard<std::mutex> lock(state->mutex);
    state->free.push_back(std::move(owned));
  });
}

}  // namespace mithril
