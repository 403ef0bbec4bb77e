#include "csrc/base/parallel.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <vector>

#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/scoped.h"

namespace mithril {
namespace {

TEST(Parallel, CallsEachIndexOnce) {
  for (size_t n : {0, 1, 2, 7, 1000, 70000})
    for (int threads : {0, 1, 2, 5}) {
      std::vector<std::atomic<int>> calls(n);
      parallel_for(n, threads, [&](size_t i) { calls[i]++; });
      for (const auto& c : calls) ASSERT_EQ(c, 1);
    }
}

TEST(Parallel, NoMoreThreadsThanAsked) {
  for (int threads : {1, 2}) {
    std::atomic<int> running{0}, most{0};
    parallel_for(200, threads, [&](size_t) {
      int now = ++running, seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      sched_yield();
      running--;
    });
    EXPECT_LE(most, threads);
  }
}

TEST(Parallel, ThrowsWhatABodyThrows) {
  for (int threads : {1, 2}) {
    EXPECT_ERROR(kCorrupt, "body 7", parallel_for(50, threads, [](size_t i) {
                   if (i == 7) throw_corrupt("body 7");
                 }));
    std::atomic<int> calls{0};  // and works afterwards
    parallel_for(10, threads, [&](size_t) { calls++; });
    EXPECT_EQ(calls, 10);
  }
}

TEST(Parallel, Nests) {
  std::atomic<int> calls{0};
  parallel_for(8, 2, [&](size_t) { parallel_for(8, 2, [&](size_t) { calls++; }); });
  EXPECT_EQ(calls, 64);
}

TEST(Parallel, ChildOfForkWorksAlone) {
  parallel_for(100, 2, [](size_t) {});  // the pool's threads exist
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    std::atomic<size_t> sum{0};
    parallel_for(100, 2, [&](size_t i) { sum += i; });
    _exit(sum == 4950 ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Threads, Default) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  int cores = CPU_COUNT(&set);
  struct Row {
    const char *num_threads, *local_world_size;
    int threads;  // 0: an error
  };
  const Row rows[] = {{nullptr, nullptr, cores}, {"", "", cores},       {"3", nullptr, 3},
                      {"3", "100", 3},           {nullptr, "1", cores}, {nullptr, "65536", 1},
                      {"0", nullptr, 0},         {"-1", nullptr, 0},    {"two", nullptr, 0},
                      {"2x", nullptr, 0},        {"65537", nullptr, 0}, {"1e3", nullptr, 0},
                      {nullptr, "0", 0},         {nullptr, "x", 0},     {"99999999999999999999", nullptr, 0}};
  for (const Row& row : rows) {
    ScopedEnv a("MITHRIL_NUM_THREADS", row.num_threads), b("LOCAL_WORLD_SIZE", row.local_world_size);
    if (row.threads)
      EXPECT_EQ(default_threads(), row.threads);
    else
      EXPECT_ERROR(kInvalidArgument, "expected a positive integer", default_threads());
  }
}

}  // namespace
}  // namespace mithril
