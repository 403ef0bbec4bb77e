// Runs a target on files and on all files of folders: what libFuzzer does with a corpus, for builds without it.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/target.h"

static void replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  std::fprintf(stderr, "%s\n", path.c_str());  // the last line names the input that stopped the program
  mithril::Exact input({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

int main(int argc, char** argv) {
  size_t inputs = 0;
  for (int i = 1; i < argc; i++) {
    if (!std::filesystem::is_directory(argv[i])) {
      replay(argv[i]), inputs++;
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
      if (entry.is_regular_file()) replay(entry.path()), inputs++;
  }
  std::fprintf(stderr, "%zu inputs\n", inputs);
  return inputs == 0;
}
