// JSON Lines: one line, and whole files of them; what is written of them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "csrc/dedup/joined_texts.h"
#include "csrc/dedup/json_string.h"
#include "csrc/dedup/line_writer.h"
#include "csrc/dedup/spilled_texts.h"
#include "tests/cpp/support/expect_error.h"

namespace mithril::dedup {
namespace {

// With the padding that a mapped file has.
struct Line {
  explicit Line(std::string text) : size(text.size()), padded(std::move(text) + std::string(kMapPadding, '\0')) {}
  std::string_view view() const { return {padded.data(), size}; }
  size_t size;
  std::string padded;
};

std::string text_of(const std::string& json, const JsonFields& fields = {}) {
  Line line(json);
  JsonLineReader reader;
  JsonLine found;
  JsonFault fault;
  if (!reader.read(line.view(), fields, &found, &fault)) return "fault: " + fault.reason;
  std::string scratch;
  std::string text(
      read_string(line.view().data() + found.text, line.view().data() + line.size, found.escaped, scratch));
  return text;
}

TEST(JsonLine, FindsTheText) {
  EXPECT_EQ(text_of(R"({"text":"a"})"), "a");
  EXPECT_EQ(text_of(R"(  { "id" : 3 , "text" : "a b" , "x" : [ ] }  )"), "a b");
  EXPECT_EQ(text_of(R"({"text": ""})"), "");
  EXPECT_EQ(
      text_of(R"({"m": {"text": "no", "l": [1, {"a": "}]\""}]}, "s": "\\", "n": -1.5e3, "b": null, "text": "yes"})"),
      "yes");
  EXPECT_EQ(text_of(R"({"text": "first", "text": "last"})"), "last");
  EXPECT_EQ(text_of("{\"text\": \"a\", \"b\": 1}\r"), "a");
  JsonFields fields;
  fields.text = "t\"ä";
  EXPECT_EQ(text_of(R"({"text": 1, "t\"\u00e4": "x"})", fields), "x");
}

TEST(JsonLine, ResolvesEscapes) {
  EXPECT_EQ(text_of(R"({"text": "a\"b\\c\/d\be\ff\ng\rh\ti"})"), "a\"b\\c/d\be\ff\ng\rh\ti");
  EXPECT_EQ(text_of(R"({"text": "\u0041\u00e9\u20ac\ud83d\ude00\u0000"})"),
            std::string("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0", 11));
  EXPECT_EQ(text_of(R"({"text": "\\"})"), "\\");
  EXPECT_EQ(text_of(R"({"text": "\\\"", "b": "\""})"), "\\\"");
}

TEST(JsonLine, RefusesWhatIsWrong) {
  EXPECT_EQ(text_of(R"({"text": "a)"), "fault: is not JSON: a string does not end");
  EXPECT_EQ(text_of(R"({"text": "a"} {"text": "b"})").substr(0, 18), "fault: is not JSON");
  EXPECT_EQ(text_of(R"({"text": "a", })").substr(0, 18), "fault: is not JSON");
  EXPECT_EQ(text_of(R"({"text": "a", "x": tru})").substr(0, 18), "fault: is not JSON");
  EXPECT_EQ(text_of(R"({"text": "a", "x": 01})"), "fault: is not JSON: a number is malformed");
  EXPECT_EQ(text_of(R"({"text": "a", "x": 99999999999999999999999e})"), "fault: is not JSON: a number is malformed");
  EXPECT_EQ(text_of(R"({"text": "\q"})"), "fault: is not JSON: a string has a wrong escape");
  EXPECT_EQ(text_of(R"({"text": "NaN", "x": NaN})"), "fault: is not JSON, which has no NaN and no Infinity");
  EXPECT_EQ(text_of("{\"text\": \"a\tb\"}"), "fault: is not JSON: a string has a control character");
  EXPECT_EQ(text_of(R"(["text"])"), "fault: is an array, not an object");
  EXPECT_EQ(text_of(R"({"txt": "a"})"), "fault: field 'text' is missing; there are 'txt'");
  EXPECT_EQ(text_of(R"({"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0})"),
            "fault: field 'text' is missing; there are '1', '2', '3', '4', '5', '6', '7', '8', …");
  EXPECT_EQ(text_of(R"({"text": null})"), "fault: field 'text' is null, not a string");
  EXPECT_EQ(text_of(R"({"text": 5})"), "fault: field 'text' is a number, not a string");
  for (const char* half : {R"({"text": "\ud83d"})", R"({"text": "\ude00"})", R"({"text": "\ud83d\u0041"})"})
    EXPECT_EQ(text_of(half).substr(0, 7), "fault: ") << half;
  JsonFields fields;
  fields.absent = {"keep"};
  EXPECT_EQ(text_of(R"({"text": "a", "keep": 1})", fields), "fault: field 'keep' is there already");
}

TEST(JsonLine, TakesNumbersOfAnySize) {
  EXPECT_EQ(
      text_of(R"({"id": 340282366920938463463374607431768211455, "big": 1e999, "text": "12345678901234567890123"})"),
      "12345678901234567890123");
}

TEST(JsonLine, SaysWhereUtf8Ends) {
  for (std::string bad : {"\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf"}) {
    Line line("{\"text\": \"\xc3\xa9" + bad + "\"}");
    JsonLine found;
    JsonFault fault;
    EXPECT_FALSE(JsonLineReader().read(line.view(), {}, &found, &fault));
    EXPECT_EQ(fault.reason, "is not UTF-8");
    EXPECT_EQ(fault.position, 12u);
  }
}

TEST(JsonLine, ReadsScoreAndSource) {
  JsonFields fields{"text", "score", "from", {}};
  Line line(R"({"score": 2.5, "from": "w\u0065b", "text": "a", "score": -3})");
  JsonLine found;
  JsonFault fault;
  JsonLineReader reader;
  ASSERT_TRUE(reader.read(line.view(), fields, &found, &fault));
  EXPECT_EQ(found.score, -3);
  EXPECT_EQ(found.source, "web");
  EXPECT_EQ(text_of(R"({"text": "a", "score": "1", "from": ""})", fields),
            "fault: field 'score' is a string, not a number");
  EXPECT_EQ(text_of(R"({"text": "a", "score": 1e999, "from": ""})", fields),
            "fault: field 'score' is beyond the range of double");
  EXPECT_EQ(text_of(R"({"text": "a", "score": 1})", fields),
            "fault: field 'from' is missing; there are 'text', 'score'");
}

TEST(JsonString, IsQuoted) {
  std::string quoted;
  append_json_string(std::string("a\"\\\n\0\xff\xc3\xa9", 8), quoted);
  EXPECT_EQ(quoted, "\"a\\\"\\\\\\u000a\\u0000\xef\xbf\xbd\xc3\xa9\"");
}

// Escapes at every place of a block, in strings of all sizes around it.
TEST(JsonString, IsReadWhatItWasQuotedFrom) {
  std::string scratch;
  for (size_t size = 0; size < 70; size++)
    for (size_t at = 0; at <= size; at++) {
      std::string text = std::string(at, 'x') + "\"\\\x01\n\t\xe2\x82\xac" + std::string(size - at, 'y');
      std::string json;
      append_json_string(text, json);
      Line line(json);
      EXPECT_EQ(read_string(line.view().data() + 1, line.view().data() + line.size, true, scratch), text);
    }
}

TEST(JsonString, EndsWithItsSpaceWhateverIsThere) {
  std::string scratch;
  for (std::string json : {"\\", "\\u12", "\\ud800\\u12", "x\\", "xxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxx", ""}) {
    Line line(json);
    for (bool escaped : {false, true})
      EXPECT_LE(read_string(line.view().data(), line.view().data() + line.size, escaped, scratch).size(), json.size());
  }
}

std::shared_ptr<const MappedFile> file_of(const std::string& bytes) {
  SpillFile spill(testing::TempDir());
  spill.write({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  return spill.finish("lines.jsonl");
}

LineTexts lines_of(const std::string& bytes, const LineRules& rules = {}) {
  return LineTexts(file_of(bytes), rules, 2, nullptr);
}

std::string joined(const std::vector<ByteView>& views) {
  std::string all;
  for (ByteView v : views) all.append(reinterpret_cast<const char*>(v.data), v.size);
  return all;
}

std::string kept(const LineTexts& texts, std::vector<uint8_t> keep) {
  std::string all;
  write_kept(texts, keep.data(), [&](const std::vector<ByteView>& views) { all += joined(views); }, nullptr);
  return all;
}

TEST(LineTexts, CountsLinesAndKeepsBytes) {
  std::string a = "{\"text\": \"a\"}\n", b = "\n", c = "  {\"text\": \"c\\n\"} \r\n", d = " \t\r\n",
              e = "{\"text\":\"e\"}";
  LineTexts texts = lines_of("\xef\xbb\xbf" + a + b + c + d + e);
  ASSERT_EQ(texts.count(), 3u);
  std::string scratch;
  EXPECT_EQ(texts.text(0, scratch), "a");
  EXPECT_EQ(texts.text(1, scratch), "c\n");
  EXPECT_EQ(texts.text(2, scratch), "e");
  EXPECT_EQ(texts.line(1), c);
  EXPECT_EQ(texts.line_number(0), 1u);
  EXPECT_EQ(texts.line_number(1), 3u);
  EXPECT_EQ(texts.line_number(2), 5u);
  EXPECT_EQ(kept(texts, {1, 1, 1}), a + c + e);
  EXPECT_EQ(kept(texts, {0, 1, 0}), c);
  EXPECT_EQ(kept(texts, {1, 0, 1}), a + e);
  EXPECT_EQ(kept(texts, {0, 0, 0}), "");
  EXPECT_EQ(lines_of("").count(), 0u);
  EXPECT_EQ(lines_of("\xef\xbb\xbf\n\n").count(), 0u);
}

TEST(LineTexts, OfPlainTextEveryLineIsADocument) {
  LineRules rules;
  rules.json = false;
  LineTexts texts = lines_of("one\n\ntwo\r\n\"three\"", rules);
  ASSERT_EQ(texts.count(), 4u);
  std::string scratch;
  EXPECT_EQ(texts.text(1, scratch), "");
  EXPECT_EQ(texts.text(2, scratch), "two");
  EXPECT_EQ(texts.text(3, scratch), "\"three\"");
  EXPECT_EQ(texts.line_number(3), 4u);
  EXPECT_EQ(kept(texts, {1, 0, 1, 1}), "one\ntwo\r\n\"three\"");
  EXPECT_ERROR(kCorrupt, "lines.jsonl, line 2: is not UTF-8 (offset 4)", lines_of("ok\nx\xff\n", rules));
}

TEST(LineTexts, NamesTheFirstFaultyLine) {
  std::string good = "{\"text\": \"a\"}\n";
  EXPECT_ERROR(kInvalidArgument, "lines.jsonl, line 3: field 'text' is missing; the object is empty (offset 15)",
               lines_of(good + "\n{}\n{\n"));
  EXPECT_ERROR(kCorrupt, "lines.jsonl, line 2: is not UTF-8 (offset 24)", lines_of(good + "{\"text\": \"\xff\"}"));
}

TEST(LineTexts, SetsFaultyLinesAside) {
  LineRules rules;
  rules.skip_faults = true;
  LineTexts texts = lines_of("{\"text\": \"a\"}\nx\"\n\n{\"text\": \"b\"}\n[]\xff\n", rules);
  ASSERT_EQ(texts.count(), 2u);
  EXPECT_EQ(texts.faults(), 2u);
  EXPECT_EQ(texts.line_number(1), 4u);
  EXPECT_EQ(kept(texts, {1, 1}), "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  std::string faults;
  write_faults(texts, "n", [&](const std::vector<ByteView>& views) { faults += joined(views); });
  EXPECT_EQ(faults,
            "{\"file\": \"n\", \"row\": 2, \"reason\": \"is not JSON: a string does not end\", \"line\": \"x\\\"\"}\n"
            "{\"file\": \"n\", \"row\": 5, \"reason\": \"is not UTF-8\", \"line\": \"[]\xef\xbf\xbd\"}\n");
}

// Lines of up to several chunks, so that borders of chunks fall on every part of them.
TEST(LineTexts, LinesMayBeLongerThanChunks) {
  std::string bytes;
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < 600; i++) {
    uint64_t size = i % 97 == 0 ? (i + 1) * 4096 + 3000000 : i * 37 % 20000;
    texts.push_back(std::string(size, static_cast<char>('a' + i % 26)) + (i % 3 == 0 ? "\"" : ""));
    bytes += i % 5 == 0 ? "\n" : "";
    bytes += "{\"text\": \"" + texts.back().substr(0, size) + (i % 3 == 0 ? "\\\"" : "") + "\"}\n";
  }
  LineTexts lines = lines_of(bytes);
  ASSERT_EQ(lines.count(), texts.size());
  std::string scratch;
  std::vector<uint8_t> keep;
  std::string expected;
  for (uint64_t i = 0; i < texts.size(); i++) {
    EXPECT_TRUE(lines.text(i, scratch) == texts[i]) << i;
    EXPECT_EQ(lines.line_number(i), i + 1 + i / 5 + 1);
    keep.push_back(i % 7 != 0);
    if (keep.back()) expected += lines.line(i);
  }
  EXPECT_TRUE(kept(lines, keep) == expected);
}

TEST(LineWriter, MarksLines) {
  LineTexts texts = lines_of("{\"text\": \"a\"}\n{\"text\": \"b\", \"x\": {}}\r\n{\"text\": \"c\" } ");
  std::vector<uint8_t> keep = {1, 0, 0};
  std::vector<uint32_t> kept_file = {0, 1, 0};
  std::vector<uint64_t> kept_row = {0, 9, 0};
  std::vector<float> similarity = {0, 0.875f, 0};
  std::string all;
  write_marked(
      texts, {keep.data(), kept_file.data(), kept_row.data(), similarity.data(), {"l\"", "m"}, 0}, 2,
      [&](const std::vector<ByteView>& views) { all += joined(views); }, nullptr);
  EXPECT_EQ(
      all,
      "{\"text\": \"a\", \"keep\": true, \"cluster_id\": \"l\\\":1\", \"kept_id\": null, \"similarity\": null}\n"
      "{\"text\": \"b\", \"x\": {}, \"keep\": false, \"cluster_id\": \"m:9\", \"kept_id\": \"m:9\", "
      "\"similarity\": 0.875}\r\n"
      "{\"text\": \"c\" , \"keep\": false, \"cluster_id\": \"l\\\":3\", \"kept_id\": null, \"similarity\": null} \n");
}

TEST(MappedFile, NoticesChanges) {
  std::string path = testing::TempDir() + "mapped_file_changes";
  std::ofstream(path) << "12345";
  MappedFile file(path);
  EXPECT_NO_THROW(file.require_unchanged());
  std::ofstream(path, std::ios::app) << "6";
  EXPECT_ERROR(kCorrupt, "it had 5 bytes and has 6", file.require_unchanged());
  std::remove(path.c_str());
  EXPECT_ERROR(kIo, "cannot open", MappedFile{path});
  EXPECT_ERROR(kIo, "not a regular file", MappedFile{testing::TempDir()});
}

TEST(MappedFile, PaddingMayBeReadWhateverTheSize) {
  for (uint64_t size : {0, 1, 4095, 4096, 4097}) {
    auto file = file_of(std::string(size, 'x'));
    for (uint64_t i = 0; i < kMapPadding; i++) EXPECT_EQ(file->data()[size + i], '\0');
  }
}

TEST(JoinedTexts, PartsMayBeEmpty) {
  auto none = std::make_shared<LineTexts>(file_of(""), LineRules(), 1, nullptr);
  auto two = std::make_shared<LineTexts>(file_of("{\"text\": \"a\"}\n{\"text\": \"b\"}\n"), LineRules(), 1, nullptr);
  JoinedTexts all({none, two, none, none, two});
  std::string scratch, texts;
  ASSERT_EQ(all.count(), 4u);
  for (uint64_t i = 0; i < 4; i++) texts += all.text(i, scratch);
  EXPECT_EQ(texts, "abab");
  EXPECT_EQ(JoinedTexts({}).count(), 0u);
}

const std::string kColumn = "..onetwo";
ByteView column() { return {reinterpret_cast<const uint8_t*>(kColumn.data()), kColumn.size()}; }

TEST(SpilledTexts, AreReadBack) {
  TextSpiller spiller(testing::TempDir());
  std::vector<int32_t> offsets = {2, 5, 5, 8};
  std::vector<int64_t> wide = {2, 5, 5, 8};
  spiller.add(offsets.data(), 3, column());
  spiller.add(wide.data(), 3, column());
  auto texts = spiller.finish();
  ASSERT_EQ(texts->count(), 6u);
  std::string scratch;
  const char* expected[] = {"one", "", "two"};
  for (uint64_t i = 0; i < 6; i++) EXPECT_EQ(texts->text(i, scratch), expected[i % 3]);
}

TEST(SpilledTexts, OffsetsStayInTheData) {
  TextSpiller spiller(testing::TempDir());
  for (std::vector<int32_t> bad : {std::vector<int32_t>{3, 2}, {0, 9}, {-1, 2}, {0, 5, 3, 8}})
    EXPECT_ERROR(kCorrupt, "offsets of a column", spiller.add(bad.data(), bad.size() - 1, column()));
  EXPECT_ERROR(kIo, "cannot make a temporary file", TextSpiller("/nowhere"));
}

}  // namespace
}  // namespace mithril::dedup
