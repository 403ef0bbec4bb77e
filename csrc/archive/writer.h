// Archive writer: tensors go in, the archive's bytes are pulled out. Nothing is compressed before it is pulled, so the
// puller sets the pace and memory stays bounded: a batch of blocks at a time, whatever the size of the tensors.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "csrc/base/buffer_pool.h"
#include "csrc/base/file.h"
#include "csrc/base/object_pool.h"
#include "csrc/base/tensor_view.h"
#include "csrc/codec/codec.h"
#include "csrc/format/index.h"
#include "csrc/format/table.h"

namespace mithril {

// Consecutive bytes of the archive, in memory that `keeper` keeps alive.
struct Piece {
  const uint8_t* data = nullptr;
  uint64_t size = 0;
  std::shared_ptr<const void> keeper;
};

// Bytes of the archive in a pooled buffer; the buffer returns to the pool with the last reference.
struct Part {
  std::shared_ptr<Buffer> buffer;
  uint64_t size = 0;
};

// The archive of one tensor, of empty name, written to `out`, which has room for archive_bound() bytes; returns its
// size. Memory beyond `out` is bounded, and pages of `out` that the archive does not reach are not touched.
uint64_t archive_bound(uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options);
uint64_t encode_tensor(TensorView view, const EncoderOptions& options, int threads, uint8_t* out);

// All functions may be called from any thread, one at a time. Once one of those that pull has thrown, all of them do:
// bytes are missing.
class ArchiveWriter {
 public:
  // threads 0: default_threads() at each batch. `memory`, when not null, has room for the whole archive of one
  // tensor: pieces are put there, each at its offset.
  ArchiveWriter(const EncoderOptions& options, int threads, uint8_t* memory = nullptr);

  // Number of the entry. `view.data` stays alive (view.keeper) and unchanged until its bytes have been pulled.
  uint64_t add(const std::string& name, EntryKind kind, TensorView view);
  uint64_t add_alias(const std::string& name, uint64_t target);
  void finish(std::map<std::string, std::string> metadata);

  // Compresses the next batch; empty when all that was added has been pulled.
  std::vector<Piece> next_pieces();
  // Exactly `size` bytes, fewer only at the end of a finished archive; none when there is not that much yet, or no
  // more.
  std::optional<Part> next_part(uint64_t size);
  // Writes all that was added, compressing the next batch while the last one is being written.
  void drain(OutputFile& file);

  uint64_t pending_bytes() const { return pending_bytes_; }  // raw bytes added, not yet compressed
  uint64_t raw_bytes() const { return raw_bytes_; }
  uint64_t archive_size() const { return offset_; }  // bytes produced so far
  Hash128 content_id() const;                        // once finished and all is pulled

 private:
  struct Pending {
    uint64_t entry;
    TensorView view;
    uint64_t blocks, next_block;  // next_block: first that is in no batch yet
    Table table;
  };
  struct Job;

  uint64_t enter(Entry entry);
  void append(const uint8_t* data, uint64_t size, std::shared_ptr<const void> keeper, std::vector<Piece>& pieces);
  void append(std::vector<uint8_t> bytes, std::vector<Piece>& pieces);
  void pad(std::vector<Piece>& pieces);
  void close_frame(Pending& tensor, std::vector<Piece>& pieces);
  void encode_batch(std::vector<Piece>& pieces);
  void encode_to_memory(std::vector<Job>& jobs);
  void encode(std::vector<Job>& jobs, size_t i, size_t ahead, Scratch& scratch) const;
  static const uint8_t* raw_of(const Job& job);
  void settle(Job& job);
  std::vector<Piece> produce();

  EncoderOptions options_;
  int threads_;
  uint8_t* memory_;
  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::unordered_set<std::string> names_;
  std::deque<Pending> pending_;
  std::map<std::string, std::string> metadata_;
  bool finishing_ = false, finished_ = false, failed_ = false;
  uint64_t offset_ = 0, pending_bytes_ = 0, raw_bytes_ = 0;
  Hash128 content_id_;
  std::deque<Piece> ready_;  // produced for next_part, not yet handed out
  uint64_t ready_bytes_ = 0;
  std::unique_ptr<ObjectPool<Scratch>> scratch_;
  std::unique_ptr<BufferPool> arenas_, parts_;
  uint64_t batch_bytes_ = 0;
};

}  // namespace mithril
