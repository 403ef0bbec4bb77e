#include "csrc/base/parallel.h"

#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "csrc/base/error.h"

namespace mithril {

static int positive_from_env(const char* name) {
  const char* text = std::getenv(name);
  if (!text || !*text) return 0;
  char* end;
  long v = std::strtol(text, &end, 10);
  if (*end || v < 1 || v > 65536) throw_invalid(std::string(name) + "=" + text + ": expected a positive integer");
  return static_cast<int>(v);
}

int default_threads() {
  if (int n = positive_from_env("MITHRIL_NUM_THREADS")) return n;
  cpu_set_t set;
  int cores =
      sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  int ranks = positive_from_env("LOCAL_WORLD_SIZE");
  return std::max(1, cores / std::max(1, ranks));
}

static const pid_t kLoadedIn = getpid();

// Threads of the arena that this thread is in, by with_threads; 0 outside of any.
static thread_local int arena_threads = 0;

static int usable_threads(int threads) {
  if (threads <= 0) threads = default_threads();
  if (getpid() != kLoadedIn) return 1;
  // More than the pool's concurrency would only make oneTBB warn.
  return std::min(threads, oneapi::tbb::info::default_concurrency());
}

static void run(size_t n, const std::function<void(size_t)>& body) {
  oneapi::tbb::parallel_for(size_t{0}, n, body, oneapi::tbb::simple_partitioner());
}

void with_threads(int threads, const std::function<void()>& body) {
  threads = usable_threads(threads);
  if (threads == 1 || arena_threads != 0) return body();
  oneapi::tbb::task_arena arena(threads);
  arena.execute([&] {
    arena_threads = threads;
    struct Leave {
      ~Leave() { arena_threads = 0; }
    } leave;
    body();
  });
}

void parallel_for(size_t n, int threads, const std::function<void(size_t)>& body) {
  threads = static_cast<int>(std::min<size_t>(static_cast<size_t>(usable_threads(threads)), n));
  if (threads <= 1) {
    for (size_t i = 0; i < n; i++) body(i);
  } else if (arena_threads != 0) {
    run(n, body);
  } else {
    oneapi::tbb::task_arena arena(threads);
    arena.execute([&] { run(n, body); });
  }
}

}  // namespace mithril
