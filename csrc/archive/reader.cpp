#include "csrc/archive/reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/base/parallel.h"
#include "csrc/format/header.h"

namespace mithril {

static constexpr uint64_t kTail = 64 << 10;      // the first read: footer, and the index when it is no larger
static constexpr uint64_t kMaxGap = 4096;        // ranges that are nearer are fetched as one
static constexpr uint64_t kFileRange = 1 << 20;  // of files: small enough to share among threads

ByteView ArchiveReader::fetch(uint64_t offset, uint64_t size, std::vector<uint8_t>& buffer) const {
  if (const uint8_t* p = source_->map(offset, size)) return {p, size};
  buffer.resize(size);
  source_->read(offset, size, buffer.data());
  return {buffer.data(), size};
}

void ArchiveReader::check_padding(ByteView padding, uint64_t offset) const {
  for (uint64_t i = 0; i < padding.size; i++)
    if (padding.data[i]) throw_corrupt(name() + ": padding is not zero (offset " + std::to_string(offset + i) + ")");
}

ArchiveReader::ArchiveReader(std::shared_ptr<const ByteSource> source) : source_(std::move(source)) {
  uint64_t size = source_->size();
  std::vector<uint8_t> head_buffer, tail_buffer, index_buffer;
  ByteView head = fetch(0, std::min(size, kHeaderSize), head_buffer);
  ByteView tail = fetch(size - std::min(size, kTail), std::min(size, kTail), tail_buffer);
  Footer footer = read_ends(
      head, size < kFooterSize ? ByteView{} : ByteView{tail.data + tail.size - kFooterSize, kFooterSize}, size, name());

  uint64_t padded = size - kFooterSize - footer.index_offset;
  ByteView index = padded <= tail.size - kFooterSize ? ByteView{tail.data + tail.size - kFooterSize - padded, padded}
                                                     : fetch(footer.index_offset, padded, index_buffer);
  if (xxh3_128(index.data, footer.index_size) != footer.content_id)
    throw_corrupt(name() + ": index: content_id does not match (offset " + std::to_string(footer.index_offset) + ")");
  check_padding({index.data + footer.index_size, padded - footer.index_size}, footer.index_offset + footer.index_size);
  index_ = read_index({index.data, footer.index_size}, footer.index_offset, name());
  content_id_ = footer.content_id;
  tables_.resize(index_.entries.size());
}

uint64_t ArchiveReader::find(const std::string& wanted) const {
  auto it = index_.by_name.find(wanted);
  if (it == index_.by_name.end()) throw Error(ErrorKind::kNotFound, name() + ": there is no '" + wanted + "'");
  return it->second;
}

const Entry& ArchiveReader::resolve(uint64_t entry, uint64_t* number) const {
  if (entry >= index_.entries.size()) throw_invalid(name() + ": there is no entry " + std::to_string(entry));
  *number = index_.entries[entry].kind == EntryKind::kAlias ? index_.entries[entry].target : entry;
  return index_.entries[*number];
}

const Table& ArchiveReader::table(uint64_t entry) const {
  uint64_t number;
  const Entry& e = resolve(entry, &number);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (tables_[number]) return *tables_[number];
  }
  std::vector<uint8_t> buffer;
  uint64_t padded = e.frame_end() - e.table_offset;
  ByteView bytes = fetch(e.table_offset, padded, buffer);
  std::string where = name() + ": '" + e.name + "'";
  auto table = std::make_unique<Table>(read_table({bytes.data, e.table_size}, e, where));
  check_padding({bytes.data + e.table_size, padded - e.table_size}, e.table_offset + e.table_size);
  std::lock_guard<std::mutex> lock(mutex_);
  if (!tables_[number]) tables_[number] = std::move(table), table_bytes_ += padded;
  return *tables_[number];
}

std::unique_ptr<ReadPlan> ArchiveReader::plan(const std::vector<ReadRequest>& requests, uint64_t max_range) const {
  struct Wanted {
    uint64_t entry;
    const ReadRequest* request;
  };
  std::vector<Wanted> wanted;
  for (const ReadRequest& r : requests) {
    Wanted w{0, &r};
    const Entry& e = resolve(r.entry, &w.entry);
    if (r.begin > r.end || r.end > e.numel())
      throw_invalid(name() + ": '" + e.name + "': elements " + std::to_string(r.begin) + " to " +
                    std::to_string(r.end) + " of " + std::to_string(e.numel()));
    if (r.out_bytes != (r.end - r.begin) * info(e.dtype).element_bytes)
      throw_invalid(name() + ": '" + e.name + "': output of " + std::to_string(r.out_bytes) + " bytes for " +
                    std::to_string((r.end - r.begin) * info(e.dtype).element_bytes));
    if (r.begin < r.end)
      wanted.push_back(w);
    else
      table(w.entry);  // an empty read is checked, too
  }
  // Frames lie in the order of their entries: sorted so, jobs come in the order of the archive.
  std::stable_sort(wanted.begin(), wanted.end(), [](const Wanted& a, const Wanted& b) {
    return a.entry != b.entry ? a.entry < b.entry : a.request->begin < b.request->begin;
  });

  std::unique_ptr<ReadPlan> plan(new ReadPlan(*this));
  auto& jobs = plan->jobs_;
  uint64_t tables_before;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    tables_before = table_bytes_;
  }
  for (const Wanted& w : wanted) {
    const Entry& e = index_.entries[w.entry];
    const Table& t = table(w.entry);
    uint64_t width = info(e.dtype).element_bytes, numel = e.numel();
    const ReadRequest& r = *w.request;
    // Requests for one entry are sorted by their begin, so a block that an earlier one wants is among the last jobs.
    size_t at = jobs.size();
    while (at > 0 && jobs[at - 1].entry == w.entry && jobs[at - 1].block >= r.begin / t.block_elements) at--;
    for (uint64_t b = r.begin / t.block_elements; b * t.block_elements < r.end; b++, at++) {
      uint64_t start = b * t.block_elements, count = std::min(t.block_elements, numel - start);
      if (at == jobs.size()) {
        const BlockRecord& block = t.blocks[b];
        jobs.push_back({w.entry, b, block.offset, block.stored_size, align64(block.stored_size), count, {}});
      }
      uint64_t begin = std::max(r.begin, start), end = std::min(r.end, start + count);
      jobs[at].targets.push_back({r.out + (begin - r.begin) * width, begin - start, end - start});
    }
  }
  for (size_t i = 0; i < jobs.size(); i++) {
    const ReadPlan::Job& j = jobs[i];
    bool direct = j.targets.size() == 1 && j.targets[0].end - j.targets[0].begin == j.elements &&
                  is_stored_raw(table(j.entry), j.block);
    ReadPlan::Range* last = plan->ranges_.empty() ? nullptr : &plan->ranges_.back();
    if (last && last->direct == direct && j.offset - (last->offset + last->size) <= kMaxGap &&
        j.offset + j.padded_size - last->offset <= max_range) {
      last->size = j.offset + j.padded_size - last->offset;
      last->end_job = i + 1;
    } else {
      plan->ranges_.push_back({j.offset, j.padded_size, i, i + 1, direct});
    }
  }
  plan->fed_.resize(plan->ranges_.size());
  std::lock_guard<std::mutex> lock(mutex_);
  plan->stats_.bytes_read = table_bytes_ - tables_before;
  return plan;
}

void ReadPlan::decode(const Job& job, ByteView padded) const {
  const Entry& e = reader_.entries()[job.entry];
  const Table& table = reader_.table(job.entry);
  const DTypeInfo& dtype = info(e.dtype);
  std::string where = reader_.name() + ": '" + e.name + "'";
  reader_.check_padding({padded.data + job.stored_size, padded.size - job.stored_size}, job.offset + job.stored_size);
  ByteView stored{padded.data, job.stored_size};
  auto scratch = reader_.scratch_.take();
  uint64_t width = dtype.element_bytes;
  for (const Target& t : job.targets)
    if (t.begin == 0 && t.end == job.elements) {  // decode in place, then copy to whoever else wants a piece
      decode_block(table, job.block, stored, dtype, job.elements, t.out, *scratch, where);
      for (const Target& other : job.targets)
        if (&other != &t) std::memcpy(other.out, t.out + other.begin * width, (other.end - other.begin) * width);
      return;
    }
  uint8_t* whole = scratch->block.data();
  decode_block(table, job.block, stored, dtype, job.elements, whole, *scratch, where);
  for (const Target& t : job.targets) std::memcpy(t.out, whole + t.begin * width, (t.end - t.begin) * width);
}

void ReadPlan::feed(size_t number, ByteView data, int threads) {
  if (number >= ranges_.size()) throw_invalid("there is no range " + std::to_string(number));
  const Range& range = ranges_[number];
  if (data.size != range.size)
    throw_invalid("range " + std::to_string(number) + " has " + std::to_string(range.size) + " bytes, not " +
                  std::to_string(data.size));
  parallel_for(range.end_job - range.first_job, threads, [&](size_t i) {
    const Job& job = jobs_[range.first_job + i];
    decode(job, {data.data + (job.offset - range.offset), job.padded_size});
  });
  std::lock_guard<std::mutex> lock(mutex_);
  if (!fed_[number]) stats_.bytes_read += range.size, stats_.blocks_decoded += range.end_job - range.first_job;
  fed_[number] = true;
}

ReadStats ReadPlan::finish() const {
  std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < fed_.size(); i++)
    if (!fed_[i]) throw_invalid("range " + std::to_string(i) + " was not fed");
  return stats_;
}

ReadStats ArchiveReader::read(const std::vector<ReadRequest>& requests, int threads) const {
  for (const ReadRequest& r : requests) advise_huge_pages(r.out, r.out_bytes);
  std::unique_ptr<ReadPlan> p = plan(requests, kFileRange);
  ObjectPool<std::vector<uint8_t>> buffers;
  parallel_for(p->ranges_.size(), threads, [&](size_t i) {
    const ReadPlan::Range& range = p->ranges_[i];
    if (!range.direct || source_->map(range.offset, range.size)) {
      auto buffer = buffers.take();
      p->feed(i, fetch(range.offset, range.size, *buffer), 1);
      return;
    }
    for (size_t k = range.first_job; k < range.end_job; k++) {
      const ReadPlan::Job& job = p->jobs_[k];
      uint8_t* out = job.targets[0].out;
      uint8_t padding[64];
      source_->read(job.offset, job.stored_size, out);
      source_->read(job.offset + job.stored_size, job.padded_size - job.stored_size, padding);
      check_padding({padding, job.padded_size - job.stored_size}, job.offset + job.stored_size);
      const Entry& e = index_.entries[job.entry];
      decode_block(table(job.entry), job.block, {out, job.stored_size}, info(e.dtype), job.elements, out,
                   *scratch_.take(), name() + ": '" + e.name + "'");
    }
    std::lock_guard<std::mutex> lock(p->mutex_);
    p->stats_.bytes_read += range.size, p->stats_.blocks_decoded += range.end_job - range.first_job, p->fed_[i] = true;
  });
  return p->finish();
}

ReadStats ArchiveReader::verify(bool decode, int threads) const {
  struct Job {
    uint64_t entry, block;
  };
  std::vector<Job> jobs;
  std::atomic<uint64_t> bytes{0};
  ReadStats stats;
  ArchiveReader fresh(source_);  // reads header, footer and index again; and no table is taken from the cache
  for (uint64_t i = 0; i < index_.entries.size(); i++) {
    const Entry& e = fresh.index_.entries.at(i);
    if (e.kind == EntryKind::kAlias) continue;
    for (uint64_t b = 0; b < fresh.table(i).blocks.size(); b++) jobs.push_back({i, b});
  }
  ObjectPool<std::vector<uint8_t>> buffers;
  parallel_for(jobs.size(), threads, [&](size_t k) {
    const Entry& e = fresh.index_.entries[jobs[k].entry];
    const Table& t = fresh.table(jobs[k].entry);
    const BlockRecord& block = t.blocks[jobs[k].block];
    std::string where = name() + ": '" + e.name + "'";
    auto buffer = buffers.take();
    ByteView padded = fetch(block.offset, align64(block.stored_size), *buffer);
    bytes += padded.size;
    if (decode) {
      auto scratch = scratch_.take();
      uint64_t elements = std::min(t.block_elements, e.numel() - jobs[k].block * t.block_elements);
      decode_block(t, jobs[k].block, {padded.data, block.stored_size}, info(e.dtype), elements, scratch->block.data(),
                   *scratch, where);
    } else {
      check_stored(block, {padded.data, block.stored_size}, jobs[k].block, where);
    }
    check_padding({padded.data + block.stored_size, padded.size - block.stored_size}, block.offset + block.stored_size);
  });
  stats.bytes_read = bytes + fresh.table_bytes_;
  stats.blocks_decoded = decode ? jobs.size() : 0;
  return stats;
}

}  // namespace mithril
