// JSON Lines and plain text of any bytes: what is read of them is UTF-8, and what is written of them is read back.
//
// Input: flags u8 (1: plain text, 2: with score and source), the file.
#include <unistd.h>

#include <string>
#include <vector>

#include "csrc/dedup/line_writer.h"
#include "tests/fuzz/target.h"

using namespace mithril;
using namespace mithril::dedup;

static LineTexts read(ByteView bytes, const LineRules& rules) {
  SpillFile file("/tmp");
  file.write(bytes);
  return LineTexts(file.finish("fuzz"), rules, 1, nullptr);
}

static ByteView view(const std::string& s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }

static std::vector<std::string> texts_of(const LineTexts& lines) {
  std::vector<std::string> texts;
  std::string scratch;
  for (uint64_t i = 0; i < lines.count(); i++) {
    texts.emplace_back(lines.text(i, scratch));
    expect(find_invalid_utf8(texts.back()) == std::string_view::npos, "a text is UTF-8");
    expect(i == 0 || lines.line_number(i - 1) < lines.line_number(i), "line numbers ascend");
  }
  return texts;
}

// What write(sink) writes, read again.
template <class Write>
static LineTexts written(const LineRules& rules, Write write) {
  std::string all;
  write([&](const std::vector<ByteView>& views) {
    for (ByteView v : views) all.append(reinterpret_cast<const char*>(v.data), v.size);
  });
  return read(view(all), rules);
}

static void check_written(const LineTexts& lines, LineRules rules) {
  const std::vector<std::string> texts = texts_of(lines);
  std::vector<uint8_t> keep;
  std::vector<std::string> kept;
  for (size_t i = 0; i < texts.size(); i++)
    if (keep.push_back(i % 3 != 1), keep.back()) kept.push_back(texts[i]);
  rules.skip_faults = false;
  auto some = written(rules, [&](const LineSink& sink) { write_kept(lines, keep.data(), sink, nullptr); });
  bool marked_order = !kept.empty() && kept[0].compare(0, 3, "\xef\xbb\xbf") == 0;  // belongs to no line when read back
  expect(marked_order || texts_of(some) == kept, "the kept texts are read back");

  rules.json = true;
  rules.fields = {"reason", "row", "file", {}};
  auto faults = written(rules, [&](const LineSink& sink) { write_faults(lines, "a\"\xff", sink); });
  expect(faults.count() == lines.faults(), "all faults are read back");

  if (!lines.rules().json) return;
  rules.fields = {"cluster_id", "", "text", {}};
  std::vector<uint32_t> file(texts.size());
  std::vector<uint64_t> row(texts.size(), 7);
  std::vector<float> similarity(texts.size(), 0.9f);
  LineMarks marks{keep.data(), file.data(), row.data(), similarity.data(), {"name"}, 0};
  auto marked = written(rules, [&](const LineSink& sink) { write_marked(lines, marks, 1, sink, nullptr); });
  expect(marked.count() == texts.size(), "all marked lines are read back");
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  uint8_t flags = input.u8();
  ByteView bytes = input.rest();
  LineRules rules;
  rules.json = !(flags & 1);
  rules.fields.absent = kMarkNames;
  if (flags & 2) rules.fields.score = "score", rules.fields.source = "source", rules.sources = {"a", "b"};
  try {
    read(bytes, rules);
  } catch (const Error&) {
  }
  rules.skip_faults = true;
  check_written(read(bytes, rules), rules);
  return 0;
}
