// Whole archives as they are: opened, verified, and read when they are whole.
//
// Input: the archive.
#include <vector>

#include "csrc/archive/reader.h"
#include "tests/fuzz/target.h"

using namespace mithril;

static constexpr uint64_t kMaxRaw = 1 << 20;  // entries beyond are not read: a few bytes can stand for very many

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto bytes = std::make_shared<Exact>(ByteView{data, size});
  std::unique_ptr<ArchiveReader> reader;
  if (!succeeds([&] {
        reader = std::make_unique<ArchiveReader>(std::make_shared<MemorySource>(bytes->view(), bytes));
        reader->verify(true, 1);
      }))
    return 0;
  for (uint64_t i = 0; i < reader->entries().size(); i++) {
    const Entry& e = reader->entries()[i];
    expect(reader->find(e.name) == i, "every entry is found by its name");
    if (e.raw_size() > kMaxRaw) continue;
    Exact out(e.raw_size());
    reader->read({{i, out.data(), out.size(), 0, e.numel()}}, 1);  // throws nothing: all is verified
  }
  return 0;
}
