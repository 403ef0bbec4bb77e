// The bytes of an archive depend on neither the instruction set nor the number of threads. The instruction set is
// chosen once in a process, so this binary runs itself under each MITHRIL_FORCE_ISA.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "csrc/base/checksum.h"
#include "csrc/base/cpu.h"
#include "csrc/transform/transform.h"
#include "tests/cpp/support/archives.h"
#include "tests/cpp/support/expect_error.h"
#include "tests/cpp/support/scoped.h"

namespace mithril {
namespace {

constexpr const char* kPrint = "MITHRIL_TEST_PRINT_DIGEST";

// Large enough for the wide loops, for streams of rans in 128 lanes and in segments, and for results past the caches.
std::vector<Tensor> large_blocks() {
  std::vector<Tensor> tensors;
  for (DType dtype : {DType::kBFloat16, DType::kFloat32, DType::kFloat16, DType::kFloat8E4M3Fn, DType::kInt32})
    for (Pattern pattern : kPatterns)
      tensors.push_back(make_tensor(std::string(info(dtype).name) + std::to_string(static_cast<int>(pattern)), dtype,
                                    {(pattern == Pattern::kGaussian ? 300000u : 70000u) / info(dtype).element_bytes},
                                    pattern));
  return tensors;
}

// Floats whose keys, or signs, change where no sample looks or in the middle of a piece: the loops that take whole rows
// of keys must stop there.
std::vector<Tensor> interrupted_rows() {
  constexpr uint64_t kElements = 131072 + 4096 + 77;
  std::vector<Tensor> tensors;
  for (DType dtype : {DType::kBFloat16, DType::kFloat32, DType::kFloat16, DType::kFloat8E4M3Fn, DType::kFloat8E5M2}) {
    const DTypeInfo& d = info(dtype);
    const uint64_t width = d.component_bytes;
    auto add = [&](const char* name, auto change) {
      Tensor t = make_tensor(name + std::string(d.name), dtype, {kElements}, Pattern::kGaussian);
      for (uint64_t i = 0; i < kElements; i++) {
        uint32_t x = 0;
        std::memcpy(&x, &t.bytes[i * width], width);
        x = change(x, i);
        std::memcpy(&t.bytes[i * width], &x, width);
      }
      tensors.push_back(std::move(t));
    };
    const uint32_t sign = 1u << (8 * width - 1), one = 1u << d.mantissa_bits;
    add("far keys ", [&](uint32_t x, uint64_t i) { return i % 40000 == 30011 ? one + (x & (one - 1)) : x; });
    add("zeros ", [&](uint32_t x, uint64_t i) { return i % 5000 == 4097 ? x & sign : x; });
    add("one negative ", [&](uint32_t x, uint64_t i) { return i == 70003 ? x | sign : x & ~sign; });
    add("other scale ", [&](uint32_t x, uint64_t i) { return i / 33000 % 2 && (x & ~sign) > 2 * one ? x - one : x; });
  }
  return tensors;
}

std::string digest(int threads) {
  Xxh3 hash;
  auto add = [&](const std::vector<Tensor>& tensors, const EncoderOptions& options) {
    Bytes archive = write_archive(tensors, {}, options, threads);
    expect_contents(ArchiveReader(source_of(archive)), tensors, threads);
    hash.add(archive.data(), archive.size());
  };
  add(some_of_everything(), kSmallBlocks);
  for (int level : {1, 3, 19}) {
    add(large_blocks(), {level, true, 1 << 18});
    add(interrupted_rows(), {level});
  }
  char text[64];
  std::snprintf(text, sizeof text, "digest=%016llx", static_cast<unsigned long long>(hash.end()));
  return text;
}

// What a new process prints with this MITHRIL_FORCE_ISA.
std::string output_under(const char* isa) {
  char self[4096];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n < 0) return "no /proc/self/exe";
  std::string command = "'" + std::string(self, static_cast<size_t>(n)) + "' --gtest_filter=ForcedIsa.SameBytes 2>&1";
  ScopedEnv force("MITHRIL_FORCE_ISA", isa), print(kPrint, "1");
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  char part[4096];
  while (size_t m = fread(part, 1, sizeof part, pipe)) text.append(part, m);
  pclose(pipe);
  return text;
}

TEST(ForcedIsa, SameBytes) {
  if (getenv(kPrint)) {
    try {
      uint8_t raw[2] = {1, 2}, planes[2], *to[] = {planes, planes + 1};
      split(Transform::kBytePlanes, info(DType::kInt16), raw, 1, to);  // may be what a process does first
      std::printf("%s %s\n", isa_name(isa()), digest(1).c_str());
    } catch (const Error& e) {
      std::printf("%s: %s\n", kind_name(e.kind()), e.what());
    }
    return;
  }
  const std::string here = digest(1);
  for (Isa i : {Isa::kScalar, Isa::kSsse3, Isa::kAvx2, Isa::kAvx512}) {
    std::string expected =
        isa_supported(i) ? std::string(isa_name(i)) + " " + here : "invalid_argument: MITHRIL_FORCE_ISA=";
    EXPECT_NE(output_under(isa_name(i)).find(expected), std::string::npos) << expected;
  }
  EXPECT_NE(output_under("mmx").find("invalid_argument: MITHRIL_FORCE_ISA=mmx: expected scalar, ssse3, avx2 or avx512"),
            std::string::npos);
}

TEST(Threads, SameBytes) { EXPECT_EQ(digest(1), digest(2)); }

}  // namespace
}  // namespace mithril
