#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <thread>

#include "csrc/base/buffer_pool.h"
#include "csrc/base/object_pool.h"

namespace mithril {
namespace {

TEST(Buffer, AlignedAndLargeEnough) {
  for (size_t size : {0, 1, 64, 65, 4095, (4 << 20) - 1, (4 << 20) + 1}) {
    Buffer buffer(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    EXPECT_GE(buffer.capacity(), size);
    std::memset(buffer.data(), 1, buffer.capacity());
  }
}

TEST(BufferPool, Reuses) {
  BufferPool pool(1000);
  EXPECT_EQ(pool.buffer_size(), 1000u);
  auto a = pool.take(), b = pool.take();
  EXPECT_NE(a->data(), b->data());
  uint8_t* address = a->data();
  a.reset();
  EXPECT_EQ(pool.take()->data(), address);
}

TEST(BufferPool, BufferOutlivesThePool) {
  std::optional<BufferPool> pool(100);
  auto buffer = pool->take();
  pool.reset();
  std::memset(buffer->data(), 1, 100);
}

TEST(BufferPool, FromSeveralThreads) {
  BufferPool pool(64);
  auto work = [&] {
    for (int i = 0; i < 1000; i++) pool.take()->data()[0] = 1;
  };
  std::thread other(work);
  work();
  other.join();
}

TEST(AdviseHugePages, TakesAnyRange) {
  Buffer buffer(8 << 20);
  for (size_t size : {0, 1, 4 << 20, 8 << 20}) advise_huge_pages(buffer.data(), size);
  advise_huge_pages(nullptr, 0);
}

TEST(ObjectPool, Reuses) {
  ObjectPool<int> pool;
  auto a = pool.take();
  int* address = a.get();
  *a = 7;
  EXPECT_NE(pool.take().get(), address);
  a.reset();
  auto again = pool.take();
  EXPECT_EQ(again.get(), address);
  EXPECT_EQ(*again, 7);
}

}  // namespace
}  // namespace mithril
