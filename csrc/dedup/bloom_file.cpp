// A Bloom index ↔ its file: docs/dedup-index-format.md, 3.
#include <cstring>

#include "csrc/base/checksum.h"
#include "csrc/base/file.h"
#include "csrc/dedup/bloom.h"
#include "csrc/dedup/sketch_parameters.h"

namespace mithril::dedup {

static constexpr uint8_t kMagic[8] = {0x89, 'M', 'D', 'B', '\r', '\n', 0x1a, '\n'};
static constexpr uint16_t kMajor = 1, kMinor = 0;
static constexpr uint64_t kHeaderSize = 128, kPiece = 1 << 20;

void BloomIndex::save(const std::string& path) const {
  std::shared_lock<std::shared_mutex> lock(mutex_);
  const auto* data = reinterpret_cast<const uint8_t*>(&words_[0]);
  ByteBuilder b;
  b.bytes(kMagic, sizeof kMagic);
  b.u16(kMajor), b.u16(kMinor), b.zeros(4);
  write_sketch_parameters(b, parameters_.rules, parameters_.shape);
  b.u64(parameters_.expected_documents), write_f64(b, parameters_.false_positive_rate);
  b.u64(filter_.blocks), b.u32(filter_.bits_per_key), b.zeros(4);
  b.u64(documents_), b.u64(xxh3_64(data, bytes()));
  b.zeros(kHeaderSize - 8 - b.size());
  b.u64(xxh3_64(b.data(), b.size()));
  OutputFile file(path, true, true);
  file.write({{b.data(), b.size()}});
  for (uint64_t at = 0; at < bytes(); at += kPiece) file.write({{data + at, std::min(kPiece, bytes() - at)}});
  file.commit();
}

namespace {
struct Header {
  BloomParameters parameters;
  BloomShape filter;
  uint64_t documents, checksum;
};
}  // namespace

static Header read_header(const FileSource& file) {
  const std::string& name = file.name();
  uint8_t bytes[kHeaderSize] = {};
  file.read(0, std::min(kHeaderSize, file.size()), bytes);
  if (file.size() && std::memcmp(bytes, kMagic, std::min<uint64_t>(file.size(), 8)) != 0)
    throw_corrupt(name + ": not a Bloom index of mithril (wrong magic, offset 0)");
  if (file.size() < kHeaderSize)
    throw_truncated(name + ": header needs 128 bytes, there are " + std::to_string(file.size()) + " (offset 0)");
  ByteCursor sum({bytes + kHeaderSize - 8, 8}, name + ": header", kHeaderSize - 8);
  if (sum.u64("checksum") != xxh3_64(bytes, kHeaderSize - 8)) sum.fail("checksum", "does not match");
  ByteCursor c({bytes, kHeaderSize - 8}, name + ": header", 0);
  c.bytes(8, "magic");
  uint16_t major = c.u16("major");
  if (major != kMajor)
    c.unsupported("major",
                  std::to_string(major) + " is not known; this reader knows version " + std::to_string(kMajor));
  c.u16("minor"), c.zeros(4, "reserved");
  Header h;
  read_sketch_parameters(c, h.parameters.rules, h.parameters.shape);
  h.parameters.expected_documents = c.u64("expected_documents");
  h.parameters.false_positive_rate = read_f64(c, "false_positive_rate");
  if (!(h.parameters.false_positive_rate >= 1e-9 && h.parameters.false_positive_rate <= 0.5))
    c.fail("false_positive_rate", "is not from 1e-9 to 0.5");
  h.filter.blocks = c.u64("blocks");
  uint64_t block_bytes = 8 * uint64_t{kBloomBlockWords}, bands = static_cast<uint64_t>(h.parameters.shape.bands);
  if (h.filter.blocks == 0 || (file.size() - kHeaderSize) % (bands * block_bytes) ||
      (file.size() - kHeaderSize) / (bands * block_bytes) != h.filter.blocks)
    c.fail("blocks", std::to_string(h.filter.blocks) + " of " + std::to_string(bands) + " bands do not make up the " +
                         std::to_string(file.size()) + " bytes of the file");
  h.filter.bits_per_key = c.u32("bits_per_key");
  if (h.filter.bits_per_key == 0 || h.filter.bits_per_key > kMaxBitsPerKey)
    c.fail("bits_per_key",
           std::to_string(h.filter.bits_per_key) + " is not from 1 to " + std::to_string(kMaxBitsPerKey));
  c.zeros(4, "reserved");
  h.documents = c.u64("documents"), h.checksum = c.u64("filter_checksum");
  c.zeros(c.left(), "reserved");
  return h;
}

std::unique_ptr<BloomIndex> BloomIndex::load(const std::string& path, int threads) {
  FileSource file(path);
  Header header = read_header(file);
  std::unique_ptr<BloomIndex> index(new BloomIndex(header.parameters, header.filter, threads));
  auto* data = reinterpret_cast<uint8_t*>(&index->words_[0]);
  file.read(kHeaderSize, index->bytes(), data);
  if (xxh3_64(data, index->bytes()) != header.checksum)
    throw_corrupt(path + ": filters: checksum does not match (offset " + std::to_string(kHeaderSize) + ")");
  index->documents_ = header.documents;
  return index;
}

}  // namespace mithril::dedup
