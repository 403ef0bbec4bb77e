// The one thread pool (oneTBB), shared by everything in the process.
#pragma once
#include <cstddef>
#include <functional>

namespace mithril {

// MITHRIL_NUM_THREADS, else (cores this process may use) ÷ LOCAL_WORLD_SIZE, at least 1. Read at each call.
// Throws invalid_argument when a variable is set to something else than a positive integer.
int default_threads();

// Calls body(i) for 0 <= i < n on at most `threads` threads (0: default_threads()), in no order; returns when all are
// done. The first exception of a body is thrown again here. In a child of fork the pool's threads do not exist: the
// calling thread does all the work.
void parallel_for(size_t n, int threads, const std::function<void(size_t)>& body);

// Calls body() on the calling thread, and keeps at most `threads` threads at hand for what it does in parallel: within,
// parallel_for takes those, whatever it asks for. For many short loops, each of which would have to wake the threads
// again.
void with_threads(int threads, const std::function<void()>& body);

}  // namespace mithril
