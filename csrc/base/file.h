// Files: read at an offset; written so that they appear whole or not at all. Errors are kIo with errno and the path.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "csrc/base/bytes.h"

namespace mithril {

// Where the bytes of an archive come from. read() is called from several threads.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Fills `to` with exactly `size` bytes; throws truncated when the source ends before.
  virtual void read(uint64_t offset, uint64_t size, uint8_t* to) const = 0;
  // The bytes where they lie, when the source is memory: then nothing need be copied. Else null.
  virtual const uint8_t* map(uint64_t /*offset*/, uint64_t /*size*/) const { return nullptr; }
  virtual const std::string& name() const = 0;
};

class FileSource : public ByteSource {
 public:
  explicit FileSource(const std::string& path);
  ~FileSource() override;
  uint64_t size() const override { return size_; }
  void read(uint64_t offset, uint64_t size, uint8_t* to) const override;
  const std::string& name() const override { return path_; }

 private:
  std::string path_;
  int fd_;
  uint64_t size_;
};

class MemorySource : public ByteSource {
 public:
  MemorySource(ByteView bytes, std::shared_ptr<const void> keeper) : bytes_(bytes), keeper_(std::move(keeper)) {}
  uint64_t size() const override { return bytes_.size; }
  void read(uint64_t offset, uint64_t size, uint8_t* to) const override;
  const uint8_t* map(uint64_t offset, uint64_t size) const override;
  const std::string& name() const override { return name_; }

 private:
  ByteView bytes_;
  std::shared_ptr<const void> keeper_;
  std::string name_ = "archive in memory";
};

// The ritual: temporary file beside the target, write, fsync, rename (or link, when nothing may be overwritten), fsync
// of the folder. Mode follows the umask. A dropped OutputFile removes its temporary file.
class OutputFile {
 public:
  OutputFile(const std::string& path, bool sync, bool overwrite);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(std::vector<ByteView> views);  // all of them, in order
  void commit();
  void abort() noexcept;
  uint64_t bytes_written() const { return written_; }

 private:
  void check_open() const;
  std::string path_, temporary_, folder_;
  int fd_ = -1;
  bool sync_, overwrite_;
  uint64_t written_ = 0, flushed_ = 0;
};

}  // namespace mithril
