// Buffers that are recycled: fresh memory costs more than decoding into it (page faults), so large ones also ask for
// huge pages.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace mithril {

// 64-byte aligned memory of at least the size asked for; contents are undefined.
class Buffer {
 public:
  explicit Buffer(size_t size);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t capacity() const { return capacity_; }

 private:
  uint8_t* data_;
  size_t capacity_;
};

// Hands out buffers of one size. A buffer may outlive the pool. Thread-safe.
class BufferPool {
 public:
  explicit BufferPool(size_t size) : state_(std::make_shared<State>()), size_(size) {}
  std::shared_ptr<Buffer> take();
  size_t buffer_size() const { return size_; }

 private:
  struct State {
    std::mutex mutex;
    std::vector<std::unique_ptr<Buffer>> free;
  };
  std::shared_ptr<State> state_;
  size_t size_;
};

// Asks for huge pages on the 2 MiB aligned middle of a range of 4 MiB or more, before it is first touched. Never fails.
void advise_huge_pages(void* data, size_t size);

}  // namespace mithril
