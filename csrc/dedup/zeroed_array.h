// A large array of zeros, in huge pages where the system gives them: look-ups at random would miss the TLB as well as
// the cache.
#pragma once
#include <cstdint>
#include <memory>

namespace mithril::dedup {

namespace detail {
void* map_zeros(uint64_t bytes);  // throws io when there is no memory
void populate(void* memory, uint64_t bytes, int threads);
void unmap(void* memory, uint64_t bytes) noexcept;
}  // namespace detail

// T is trivial, and zero bytes are its first value.
template <class T>
class ZeroedArray {
 public:
  explicit ZeroedArray(uint64_t size)
      : size_(size), data_(static_cast<T*>(detail::map_zeros(size * sizeof(T))), Unmap{size * sizeof(T)}) {}
  // Gives it all its memory now, by several threads: otherwise a page that is read before it is written is mapped
  // twice, and all processors have to forget what they knew of it.
  void populate(int threads) { detail::populate(data_.get(), size_ * sizeof(T), threads); }

  T& operator[](uint64_t i) { return data_.get()[i]; }
  const T& operator[](uint64_t i) const { return data_.get()[i]; }
  uint64_t size() const { return size_; }

 private:
  struct Unmap {
    uint64_t bytes;
    void operator()(T* data) const { detail::unmap(data, bytes); }
  };
  uint64_t size_;
  std::unique_ptr<T, Unmap> data_;
};

}  // namespace mithril::dedup
