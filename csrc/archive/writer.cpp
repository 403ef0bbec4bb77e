#include "csrc/archive/writer.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <thread>

#include "csrc/base/checksum.h"
#include "csrc/base/parallel.h"
#include "csrc/format/header.h"

namespace mithril {

static constexpr uint64_t kMaxJobs = 4096;  // of a batch: a state has thousands of small tensors

struct ArchiveWriter::Job {
  Pending* tensor;
  uint64_t block, elements;
  uint8_t* out;
  EncodedBlock encoded;
  uint16_t recipe = 0;  // its number, once settled
};

ArchiveWriter::ArchiveWriter(const EncoderOptions& options, int threads, uint8_t* memory)
    : options_(options), threads_(threads), memory_(memory), scratch_(std::make_unique<ObjectPool<Scratch>>()) {
  options.check();
  int n = threads > 0 ? threads : default_threads();
  batch_bytes_ = std::max<uint64_t>(8 << 20, static_cast<uint64_t>(n) * 2 << 20);
  arenas_ = std::make_unique<BufferPool>(memory ? encoded_capacity(kMaxBlockBytes)
                                                : batch_bytes_ + kMaxBlockBytes + kMaxJobs * 128);
}

uint64_t ArchiveWriter::enter(Entry entry) {
  if (finishing_) throw_invalid("'" + entry.name + "': the archive is finished already");
  check_name(entry.name);
  if (!names_.insert(entry.name).second) throw_invalid("'" + entry.name + "' is in the archive already");
  entries_.push_back(std::move(entry));
  return entries_.size() - 1;
}

uint64_t ArchiveWriter::add(const std::string& name, EntryKind kind, TensorView view) {
  std::lock_guard<std::mutex> lock(mutex_);
  const DTypeInfo& dtype = info(view.dtype);
  if (view.dims.size() > kMaxDims)
    throw_invalid("'" + name + "': " + std::to_string(view.dims.size()) + " dimensions exceed the limit 64");
  if (view.dim_order.size() != view.dims.size() || !is_permutation(view.dim_order))
    throw_invalid("'" + name + "': dim_order is no permutation of the dimensions");
  if (kind == EntryKind::kAlias) throw_invalid("'" + name + "': an alias has no data");
  if (kind != EntryKind::kTensor && (view.dtype != DType::kUInt8 || view.dims.size() != 1))
    throw_invalid("'" + name + "': a value or foreign blob is uint8 with one dimension");
  uint64_t elements = checked_numel(view.dims, dtype.element_bytes);
  Entry entry;
  entry.kind = kind, entry.name = name, entry.dtype = view.dtype, entry.dims = view.dims,
  entry.dim_order = view.dim_order;
  uint64_t number = enter(std::move(entry));

  Pending tensor{number, std::move(view), 0, 0, {}};
  tensor.table.block_elements = block_elements(tensor.view.data, elements, dtype, options_);
  tensor.blocks = ceil_div(elements, tensor.table.block_elements);
  raw_bytes_ += tensor.view.bytes(), pending_bytes_ += tensor.view.bytes();
  pending_.push_back(std::move(tensor));
  return number;
}

uint64_t ArchiveWriter::add_alias(const std::string& name, uint64_t target) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (target >= entries_.size() || entries_[target].kind != EntryKind::kTensor)
    throw_invalid("'" + name + "': entry " + std::to_string(target) + " is no tensor");
  Entry entry = entries_[target];
  entry.kind = EntryKind::kAlias, entry.name = name, entry.target = target;
  return enter(std::move(entry));
}

void ArchiveWriter::finish(std::map<std::string, std::string> metadata) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (finishing_) throw_invalid("the archive is finished already");
  write_index({}, metadata);  // refuses bad metadata now, not when the data has been written
  metadata_ = std::move(metadata);
  finishing_ = true;
}

Hash128 ArchiveWriter::content_id() const {
  if (!finished_) throw_invalid("content_id is known when the archive is finished and pulled");
  return content_id_;
}

void ArchiveWriter::append(const uint8_t* data, uint64_t size, std::shared_ptr<const void> keeper,
                           std::vector<Piece>& pieces) {
  if (memory_ && size && data != memory_ + offset_) {
    std::memcpy(memory_ + offset_, data, size);
    data = memory_ + offset_, keeper = nullptr;
  }
  if (size) pieces.push_back({data, size, std::move(keeper)});
  offset_ += size;
}

void ArchiveWriter::append(std::vector<uint8_t> bytes, std::vector<Piece>& pieces) {
  auto owned = std::make_shared<std::vector<uint8_t>>(std::move(bytes));
  append(owned->data(), owned->size(), owned, pieces);
}

void ArchiveWriter::pad(std::vector<Piece>& pieces) {
  static constexpr uint8_t kZeros[64] = {};
  append(kZeros, align64(offset_) - offset_, nullptr, pieces);
}

void ArchiveWriter::close_frame(Pending& tensor, std::vector<Piece>& pieces) {
  Entry& entry = entries_[tensor.entry];
  Table& table = tensor.table;
  if (table.blocks.empty()) entry.frame_offset = offset_;
  entry.table_offset = offset_;
  std::vector<uint8_t> bytes = write_table(table);
  entry.table_size = bytes.size();
  entry.content_id = tensor_content_id(entry, table.block_elements, table.raw_checksums());
  append(std::move(bytes), pieces);
  pad(pieces);
}

// Each thread encodes a block in a buffer that stays in its cache, waits until the offset of the block is known, which
// is when those before it are encoded, and copies it there.
void ArchiveWriter::encode_to_memory(std::vector<Job>& jobs) {
  size_t threads = static_cast<size_t>(threads_ > 0 ? threads_ : default_threads());
  std::atomic<size_t> next{0}, known{0};  // jobs begun; jobs whose end is known
  std::atomic<bool> failed{false};
  uint64_t at = offset_;  // of job number `known`
  auto work = [&](size_t) {
    std::shared_ptr<Buffer> buffer = arenas_->take();
    std::shared_ptr<Scratch> scratch = scratch_->take();
    for (size_t i = next++; i < jobs.size() && !failed; i = next++) {
      jobs[i].out = buffer->data();
      encode(jobs, i, threads, *scratch);
      EncodedBlock& e = jobs[i].encoded;
      while (known.load(std::memory_order_acquire) != i) {
        if (failed) return;
        std::this_thread::yield();
      }
      settle(jobs[i]);
      uint8_t* to = memory_ + at;
      at += align64(e.stored_size);
      known.store(i + 1, std::memory_order_release);
      std::memcpy(to, e.data, e.stored_size);
      e.data = to;
    }
  };
  parallel_for(threads, threads_, [&](size_t i) {
    try {
      work(i);
    } catch (...) {
      failed = true;
      throw;
    }
  });
}

void ArchiveWriter::encode(std::vector<Job>& jobs, size_t i, size_t ahead, Scratch& scratch) const {
  Job& job = jobs[i];
  scratch.next = i + ahead < jobs.size() ? raw_of(jobs[i + ahead]) : nullptr;
  const DTypeInfo& dtype = info(job.tensor->view.dtype);
  job.encoded = encode_block(raw_of(job), job.elements, dtype, options_, scratch, job.out);
}

const uint8_t* ArchiveWriter::raw_of(const Job& job) {
  const DTypeInfo& dtype = info(job.tensor->view.dtype);
  return job.tensor->view.data + job.block * job.tensor->table.block_elements * dtype.element_bytes;
}

// Numbers the recipe of a block, in the order of blocks. Should a frame have no room for one more, as no data known so
// far come near to, the block is stored raw, for which there always is.
void ArchiveWriter::settle(Job& job) {
  std::vector<Recipe>& recipes = job.tensor->table.recipes;
  EncodedBlock& e = job.encoded;
  auto find = [&] {
    return static_cast<size_t>(std::find(recipes.begin(), recipes.end(), e.recipe) - recipes.begin());
  };
  size_t number = find();
  bool is_raw = e.recipe.transform == Transform::kIdentity;
  if (number == recipes.size() && recipes.size() >= kMaxRecipes - 1 && !is_raw) {
    e = stored_raw(raw_of(job), job.elements, info(job.tensor->view.dtype), e.raw_checksum);
    number = find();
  }
  if (number == recipes.size()) recipes.push_back(e.recipe);
  job.recipe = static_cast<uint16_t>(number);
}

void ArchiveWriter::encode_batch(std::vector<Piece>& pieces) {
  // In memory, threads take all blocks at once. Else blocks wait for their offsets in an arena.
  const uint64_t most_jobs = memory_ ? ~uint64_t{0} : kMaxJobs, most_bytes = memory_ ? ~uint64_t{0} : batch_bytes_;
  std::shared_ptr<Buffer> arena = memory_ ? nullptr : arenas_->take();
  std::vector<Job> jobs;
  uint64_t used = 0, raw = 0;
  for (Pending& t : pending_) {
    const DTypeInfo& dtype = info(t.view.dtype);
    uint64_t elements = t.view.numel();
    for (; t.next_block < t.blocks && raw < most_bytes && jobs.size() < most_jobs; t.next_block++) {
      uint64_t n = std::min(t.table.block_elements, elements - t.next_block * t.table.block_elements);
      jobs.push_back({&t, t.next_block, n, arena ? arena->data() + used : nullptr, {}, 0});
      used += align64(encoded_capacity(n * dtype.element_bytes));
      raw += n * dtype.element_bytes;
    }
    if (raw >= most_bytes || jobs.size() >= most_jobs) break;
  }
  if (memory_)
    encode_to_memory(jobs);
  else
    parallel_for(jobs.size(), threads_, [&](size_t i) { encode(jobs, i, 1, *scratch_->take()); });
  pending_bytes_ -= raw;

  size_t next = 0;
  while (!pending_.empty()) {
    Pending& t = pending_.front();
    for (; next < jobs.size() && jobs[next].tensor == &t; next++) {
      if (!memory_) settle(jobs[next]);
      const EncodedBlock& e = jobs[next].encoded;
      if (t.table.blocks.empty()) entries_[t.entry].frame_offset = offset_;
      BlockRecord record;
      record.stored_size = e.stored_size, record.stored_checksum = e.stored_checksum,
      record.raw_checksum = e.raw_checksum;
      record.recipe = jobs[next].recipe, record.first_stream = t.table.streams.size(), record.offset = offset_;
      t.table.streams.insert(t.table.streams.end(), e.streams.begin(), e.streams.begin() + e.recipe.planes.count);
      t.table.blocks.push_back(record);
      bool in_arena = arena && e.data == jobs[next].out;
      append(e.data, e.stored_size, in_arena ? std::shared_ptr<const void>(arena) : t.view.keeper, pieces);
      pad(pieces);
    }
    if (t.table.blocks.size() < t.blocks) break;
    close_frame(t, pieces);
    pending_.pop_front();
  }
}

std::vector<Piece> ArchiveWriter::produce() {
  if (failed_) throw_invalid("an earlier call failed: bytes of the archive are missing");
  failed_ = true;  // until all is done
  std::vector<Piece> pieces;
  if (offset_ == 0) append(write_header(zstd_version()), pieces);
  if (!pending_.empty()) {
    encode_batch(pieces);
  } else if (finishing_ && !finished_) {
    Footer footer;
    footer.index_offset = offset_;
    std::vector<uint8_t> index = write_index(entries_, metadata_);
    footer.index_size = index.size();
    footer.content_id = content_id_ = xxh3_128(index.data(), index.size());
    append(std::move(index), pieces);
    pad(pieces);
    footer.archive_size = offset_ + kFooterSize;
    append(write_footer(footer, zstd_version()), pieces);
    finished_ = true;
  }
  failed_ = false;
  return pieces;
}

std::vector<Piece> ArchiveWriter::next_pieces() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ready_.empty()) return produce();
  std::vector<Piece> pieces(ready_.begin(), ready_.end());
  ready_.clear();
  ready_bytes_ = 0;
  return pieces;
}

std::optional<Part> ArchiveWriter::next_part(uint64_t size) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (size == 0) throw_invalid("a part has at least one byte");
  while (ready_bytes_ < size) {
    std::vector<Piece> pieces = produce();
    if (pieces.empty()) break;
    for (Piece& p : pieces) ready_bytes_ += p.size, ready_.push_back(std::move(p));
  }
  if (ready_bytes_ == 0 || (ready_bytes_ < size && !finished_)) return std::nullopt;
  if (!parts_ || parts_->buffer_size() != size) parts_ = std::make_unique<BufferPool>(size);
  Part part{parts_->take(), 0};
  while (part.size < size && !ready_.empty()) {
    Piece& p = ready_.front();
    uint64_t n = std::min(p.size, size - part.size);
    std::memcpy(part.buffer->data() + part.size, p.data, n);
    part.size += n, p.data += n, p.size -= n;
    if (p.size == 0) ready_.pop_front();
  }
  ready_bytes_ -= part.size;
  return part;
}

namespace {

// Writes batches on a thread of its own; at most one batch waits, which bounds memory.
class FileThread {
 public:
  explicit FileThread(OutputFile& file) : file_(file), thread_([this] { run(); }) {}
  ~FileThread() { stop(); }

  // False when writing has failed; finish() throws why.
  bool put(std::vector<Piece> pieces) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return batch_.empty() || error_; });
    if (error_) return false;
    batch_ = std::move(pieces);
    changed_.notify_all();
    return true;
  }
  void finish() {
    stop();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void stop() {
    if (!thread_.joinable()) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  void run() {
    try {
      for (;;) {
        std::vector<Piece> batch;
        {
          std::unique_lock<std::mutex> lock(mutex_);
          changed_.wait(lock, [this] { return !batch_.empty() || done_; });
          if (batch_.empty()) return;
          batch.swap(batch_);
          changed_.notify_all();
        }
        std::vector<ByteView> views;
        for (const Piece& p : batch) views.push_back({p.data, p.size});
        file_.write(std::move(views));
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      error_ = std::current_exception();
      changed_.notify_all();
    }
  }

  OutputFile& file_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Piece> batch_;
  bool done_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: starts when the rest is there
};

}  // namespace

void ArchiveWriter::drain(OutputFile& file) {
  std::vector<Piece> pieces = next_pieces();
  if (pieces.empty()) return;
  try {
    FileThread thread(file);
    while (!pieces.empty() && thread.put(std::move(pieces))) pieces = next_pieces();
    thread.finish();
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex_);
    failed_ = true;  // what was pulled has not reached the file
    throw;
  }
}

uint64_t archive_bound(uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options) {
  uint64_t blocks = ceil_div(elements, options.block_bytes / dtype.element_bytes);
  // Per block its padding and record; once the header, footer, index, and the fixed part of the table.
  return elements * dtype.element_bytes + blocks * (64 + 40 + 16 * kMaxPlanes) + 8192;
}

uint64_t encode_tensor(TensorView view, const EncoderOptions& options, int threads, uint8_t* out) {
  ArchiveWriter writer(options, threads, out);
  writer.add("", EntryKind::kTensor, std::move(view));
  writer.finish({});
  while (!writer.next_pieces().empty()) continue;
  return writer.archive_size();
}

}  // namespace mithril
