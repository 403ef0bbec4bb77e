// Objects that are dear to make and used by one thread at a time: take one, and it returns when the handle goes.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

namespace mithril {

template <class T>
class ObjectPool {
 public:
  std::shared_ptr<T> take() {
    return take([] { return std::make_unique<T>(); });
  }
  // make() gives a new one, as a unique_ptr, when none is free.
  template <class Make>
  std::shared_ptr<T> take(Make make) {
    std::unique_ptr<T> object;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!free_.empty()) {
        object = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (!object) object = make();
    return std::shared_ptr<T>(object.release(), [this](T* t) {
      std::unique_ptr<T> owned(t);
      std::lock_guard<std::mutex> lock(mutex_);
      free_.push_back(std::move(owned));
    });
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
};

}  // namespace mithril
