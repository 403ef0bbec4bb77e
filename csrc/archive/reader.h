// Archive reader: opens with two small reads, then fetches only the blocks that the wanted elements lie in and decodes
// them straight into the caller's memory.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "csrc/base/file.h"
#include "csrc/base/object_pool.h"
#include "csrc/codec/codec.h"
#include "csrc/format/index.h"
#include "csrc/format/table.h"

namespace mithril {

// Elements [begin, end) of an entry, counted in physical order, to `out`.
struct ReadRequest {
  uint64_t entry = 0;
  uint8_t* out = nullptr;
  uint64_t out_bytes = 0;
  uint64_t begin = 0, end = 0;
};

struct ReadStats {
  uint64_t bytes_read = 0, blocks_decoded = 0;
};

class ArchiveReader;

// What has to be fetched for a set of requests. feed() may be called for several ranges at once.
class ReadPlan {
 public:
  struct Range {
    uint64_t offset = 0, size = 0;
    size_t first_job = 0, end_job = 0;
    bool direct = false;  // whole blocks, stored raw, each wanted once: can be read into place
  };
  const std::vector<Range>& ranges() const { return ranges_; }
  // `data` is the range's bytes; decodes all its blocks, on several threads.
  void feed(size_t range, ByteView data, int threads);
  ReadStats finish() const;  // throws invalid_argument when a range was not fed

 private:
  friend class ArchiveReader;
  struct Target {
    uint8_t* out;
    uint64_t begin, end;  // elements within the block
  };
  struct Job {
    uint64_t entry, block, offset, stored_size, padded_size, elements;
    std::vector<Target> targets;
  };
  explicit ReadPlan(const ArchiveReader& reader) : reader_(reader) {}
  void decode(const Job& job, ByteView padded) const;

  const ArchiveReader& reader_;
  std::vector<Job> jobs_;
  std::vector<Range> ranges_;
  std::vector<bool> fed_;
  mutable std::mutex mutex_;
  ReadStats stats_;
};

// Const functions may be called from several threads.
class ArchiveReader {
 public:
  explicit ArchiveReader(std::shared_ptr<const ByteSource> source);

  const std::vector<Entry>& entries() const { return index_.entries; }
  const std::map<std::string, std::string>& metadata() const { return index_.metadata; }
  uint64_t find(const std::string& name) const;  // throws not_found
  uint64_t archive_size() const { return source_->size(); }
  Hash128 content_id() const { return content_id_; }
  const std::string& name() const { return source_->name(); }

  // The table of an entry (of its target, for an alias), read and checked at first use. Throws invalid_argument for a
  // bad number.
  const Table& table(uint64_t entry) const;

  // `max_range` bounds the bytes of a range (a single block may be larger).
  std::unique_ptr<ReadPlan> plan(const std::vector<ReadRequest>& requests, uint64_t max_range) const;
  ReadStats read(const std::vector<ReadRequest>& requests, int threads) const;
  // Compares every byte of the archive with its checksum; with `decode` also decodes every block.
  ReadStats verify(bool decode, int threads) const;

 private:
  friend class ReadPlan;
  const Entry& resolve(uint64_t entry, uint64_t* number) const;
  ByteView fetch(uint64_t offset, uint64_t size, std::vector<uint8_t>& buffer) const;
  void check_padding(ByteView padding, uint64_t offset) const;

  std::shared_ptr<const ByteSource> source_;
  Index index_;
  Hash128 content_id_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Table>> tables_;
  mutable uint64_t table_bytes_ = 0;
  mutable ObjectPool<Scratch> scratch_;
};

}  // namespace mithril
