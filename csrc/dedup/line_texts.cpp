#include "csrc/dedup/line_texts.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "csrc/base/error.h"
#include "csrc/base/object_pool.h"
#include "csrc/base/parallel.h"
#include "csrc/dedup/json_string.h"

namespace mithril::dedup {

constexpr uint64_t kChunkBytes = 1 << 20;
constexpr uint64_t kGroupChunks = 64;  // scanned in parallel, then appended in order

static const char* find_newline(const char* from, const char* end) {
  return static_cast<const char*>(std::memchr(from, '\n', static_cast<size_t>(end - from)));
}

static std::string_view without_end(std::string_view line) {
  if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

static bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r\n") == std::string_view::npos; }

// What the lines that begin in one part of the file give; document numbers count from its first.
struct LineTexts::Chunk {
  std::vector<uint64_t> begins;
  std::vector<Gap> gaps;
  std::vector<uint32_t> sources;
  std::vector<double> scores;
  uint64_t faults = 0;
  std::optional<JsonFault> fault;  // that ends the scan, of the line of the last gap
};

// Reads chunks, in several threads.
struct LineTexts::Scan {
  const LineTexts& texts;
  ObjectPool<JsonLineReader> readers;
  std::unordered_map<std::string_view, uint32_t> sources;

  explicit Scan(const LineTexts& t) : texts(t) {
    for (const std::string& source : t.rules_.sources)
      sources.emplace(source, static_cast<uint32_t>(sources.size()));  // the first of equal ones
  }
  void read(uint64_t begin, uint64_t stop, Chunk* chunk);
  bool read_line(std::string_view line, JsonLineReader* reader, Chunk* chunk, JsonFault* fault);
};

static bool read_plain(std::string_view line, JsonFault* fault) {
  size_t invalid = find_invalid_utf8(line);
  if (invalid == std::string_view::npos) return true;
  *fault = {ErrorKind::kCorrupt, "is not UTF-8", invalid};
  return false;
}

void LineTexts::Scan::read(uint64_t begin, uint64_t stop, Chunk* chunk) {
  const char *data = texts.file_->data(), *end = data + texts.file_->size();
  const char* p = data + begin;
  if (begin > texts.start_ && p[-1] != '\n') {  // the line belongs to the chunk where it begins
    const char* newline = find_newline(p, data + stop);
    if (!newline) return;
    p = newline + 1;
  }
  bool json = texts.rules_.json;
  std::shared_ptr<JsonLineReader> reader = json ? readers.take() : nullptr;
  while (p < data + stop) {
    const char* newline = find_newline(p, end);
    std::string_view line(p, static_cast<size_t>((newline ? newline + 1 : end) - p));
    JsonFault fault;
    if (json && is_blank(line)) {
      chunk->gaps.push_back({chunk->begins.size(), static_cast<uint64_t>(p - data)});
    } else if (!read_line(without_end(line), reader.get(), chunk, &fault)) {
      chunk->gaps.push_back({chunk->begins.size(), static_cast<uint64_t>(p - data)});
      chunk->faults++;
      if (!texts.rules_.skip_faults) {
        chunk->fault = fault;
        return;
      }
    }
    p += line.size();
  }
}

bool LineTexts::Scan::read_line(std::string_view line, JsonLineReader* reader, Chunk* chunk, JsonFault* fault) {
  JsonLine found;
  if (!(reader ? reader->read(line, texts.rules_.fields, &found, fault) : read_plain(line, fault))) return false;
  auto begin = static_cast<uint64_t>(line.data() - texts.file_->data()) + found.text;
  chunk->begins.push_back(begin << 1 | (found.escaped ? 1 : 0));
  if (!texts.rules_.fields.score.empty()) chunk->scores.push_back(found.score);
  if (!texts.rules_.fields.source.empty()) {
    auto known = sources.find(found.source);
    chunk->sources.push_back(known == sources.end() ? static_cast<uint32_t>(texts.rules_.sources.size())
                                                    : known->second);
  }
  return true;
}

template <class T>
static void move_to(std::vector<T>& all, std::vector<T>& part) {
  all.insert(all.end(), part.begin(), part.end());
  std::vector<T>().swap(part);
}

void LineTexts::append(Chunk& chunk) {
  for (Gap& gap : chunk.gaps) gap.document += begins_.size();
  move_to(gaps_, chunk.gaps);
  move_to(begins_, chunk.begins);
  move_to(scores_, chunk.scores);
  move_to(sources_, chunk.sources);
  faults_ += chunk.faults;
  if (chunk.fault) refuse(begins_.size() + gaps_.size(), gaps_.back().begin, *chunk.fault);
}

void LineTexts::refuse(uint64_t line_number, uint64_t begin, const JsonFault& fault) const {
  throw Error(fault.kind, file_->name() + ", line " + std::to_string(line_number) + ": " + fault.reason + " (offset " +
                              std::to_string(begin + fault.position) + ")");
}

LineTexts::LineTexts(std::shared_ptr<const MappedFile> file, const LineRules& rules, int threads,
                     const Progress& progress)
    : file_(std::move(file)), rules_(rules) {
  uint64_t size = file_->size();
  if (size >= 3 && std::memcmp(file_->data(), "\xef\xbb\xbf", 3) == 0) start_ = 3;
  Scan scan(*this);
  std::vector<Chunk> chunks(kGroupChunks);
  for (uint64_t begin = start_; begin < size;) {
    uint64_t count = std::min(kGroupChunks, (size - begin + kChunkBytes - 1) / kChunkBytes);
    parallel_for(count, threads, [&](size_t i) {
      uint64_t from = begin + i * kChunkBytes;
      scan.read(from, std::min(size, from + kChunkBytes), &chunks[i]);
    });
    for (uint64_t i = 0; i < count; i++) {
      append(chunks[i]);
      chunks[i] = Chunk();
    }
    begin = std::min(size, begin + count * kChunkBytes);
    if (progress) progress("scan", begin, size);
  }
  file_->require_unchanged();
}

std::string_view LineTexts::text(uint64_t i, std::string& scratch) const {
  const char *begin = file_->data() + (begins_[i] >> 1), *end = file_->data() + file_->size();
  if (rules_.json) return read_string(begin, end, begins_[i] & 1, scratch);
  const char* newline = find_newline(begin, end);
  return without_end({begin, static_cast<size_t>((newline ? newline : end) - begin)});
}

std::string_view LineTexts::line(uint64_t i) const {
  uint64_t inside = begins_[i] >> 1;
  const char* first = file_->data() + start_;
  auto newline = static_cast<const char*>(memrchr(first, '\n', inside - start_));
  return line_at(static_cast<uint64_t>((newline ? newline + 1 : first) - file_->data()));
}

std::string_view LineTexts::line_at(uint64_t begin) const {
  const char *p = file_->data() + begin, *end = file_->data() + file_->size();
  const char* newline = find_newline(p, end);
  return {p, static_cast<size_t>((newline ? newline + 1 : end) - p)};
}

uint64_t LineTexts::line_number(uint64_t i) const {
  auto after = std::upper_bound(gaps_.begin(), gaps_.end(), i, [](uint64_t d, const Gap& g) { return d < g.document; });
  return i + 1 + static_cast<uint64_t>(after - gaps_.begin());
}

std::vector<ByteView> LineTexts::kept_stretches(const uint8_t* keep, uint64_t first, uint64_t stop) const {
  std::vector<ByteView> stretches;
  if (first >= stop) return stretches;
  const char* from = line(first).data();
  auto leave_out = [&](std::string_view line) {
    if (line.data() > from)
      stretches.push_back({reinterpret_cast<const uint8_t*>(from), static_cast<uint64_t>(line.data() - from)});
    from = line.data() + line.size();
  };
  auto gap =
      std::upper_bound(gaps_.begin(), gaps_.end(), first, [](uint64_t d, const Gap& g) { return d < g.document; });
  for (uint64_t i = first; i < stop; i++) {
    for (; gap != gaps_.end() && gap->document == i; ++gap) leave_out(line_at(gap->begin));
    if (!keep[i]) leave_out(line(i));
  }
  std::string_view last = line(stop - 1);
  leave_out({last.data() + last.size(), 0});
  return stretches;
}

void LineTexts::for_each_fault(const std::function<void(const Fault&)>& visit) const {
  JsonLineReader reader;
  for (size_t k = 0; k < gaps_.size(); k++) {
    std::string_view line = without_end(line_at(gaps_[k].begin));
    if (rules_.json && is_blank(line)) continue;
    JsonLine found;
    Fault fault{gaps_[k].document + k + 1, line, {}};
    if (!(rules_.json ? reader.read(line, rules_.fields, &found, &fault.why) : read_plain(line, &fault.why)))
      visit(fault);
  }
}

}  // namespace mithril::dedup
