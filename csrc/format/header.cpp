#include "csrc/format/header.h"

#include <cstring>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/base/ids.h"

namespace mithril {

static constexpr uint8_t kMagic[8] = {0x89, 'M', 'C', 'P', '\r', '\n', 0x1a, '\n'};
static constexpr uint8_t kEndMagic[8] = {'M', 'C', 'P', '-', 'e', 'n', 'd', '\n'};

// major, minor, zstd, must_understand, may_ignore: the same 24 bytes in header and footer.
static void write_version(ByteBuilder& b, uint32_t zstd_version) {
  b.u16(kMajor), b.u16(kMinor), b.u32(zstd_version), b.u64(0), b.u64(0);
}

std::vector<uint8_t> write_header(uint32_t zstd_version) {
  ByteBuilder b;
  b.bytes(kMagic, sizeof kMagic);
  write_version(b, zstd_version);
  b.zeros(24);
  b.u64(xxh3_64(b.data(), b.size()));
  return b.take();
}

std::vector<uint8_t> write_footer(const Footer& footer, uint32_t zstd_version) {
  ByteBuilder b;
  b.u64(footer.archive_size), b.u64(footer.index_offset), b.u64(footer.index_size), b.u64(0);
  b.hash128(footer.content_id);
  write_version(b, zstd_version);
  b.zeros(40);
  b.u64(xxh3_64(b.data(), b.size()));
  b.bytes(kEndMagic, sizeof kEndMagic);
  return b.take();
}

static void check_version(ByteCursor& c) {
  uint16_t major = c.u16("major");
  if (major != kMajor)
    c.unsupported("major",
                  std::to_string(major) + " is not known; this reader knows version " + std::to_string(kMajor));
  c.u16("minor"), c.u32("zstd");
  uint64_t must = c.u64("must_understand");
  if (must != 0) c.unsupported("must_understand", "has bits that this reader does not know: " + std::to_string(must));
  c.u64("may_ignore");
}

static uint64_t stored_u64(ByteView v, uint64_t at) {
  uint64_t x;
  std::memcpy(&x, v.data + at, 8);
  return x;
}

Footer read_ends(ByteView head, ByteView tail, uint64_t archive_size, const std::string& name) {
  // The header first: it tells an archive that was cut short from something that never was one.
  if (head.size && std::memcmp(head.data, kMagic, head.size < 8 ? head.size : 8) != 0)
    throw_corrupt(name + ": not a mithril archive (wrong magic, offset 0)");
  if (head.size < kHeaderSize)
    throw_truncated(name + ": header needs 64 bytes, there are " + std::to_string(head.size) + " (offset 0)");
  if (stored_u64(head, 56) != xxh3_64(head.data, 56))
    throw_corrupt(name + ": header: checksum does not match (offset 56)");
  ByteCursor h(head, name + ": header", 0);
  h.bytes(8, "magic");
  check_version(h);
  h.zeros(24, "reserved");

  if (archive_size < kHeaderSize + kFooterSize)
    throw_truncated(name + ": " + std::to_string(archive_size) +
                    " bytes are too few for an archive: cut short (offset " + std::to_string(archive_size) + ")");
  uint64_t at = archive_size - kFooterSize;
  bool magic = std::memcmp(tail.data + 120, kEndMagic, 8) == 0;
  bool checksum = stored_u64(tail, 112) == xxh3_64(tail.data, 112);
  if (!magic && !checksum)
    throw_truncated(name + ": no footer at the end (offset " + std::to_string(at) + "): cut short, or bytes follow it");
  if (!magic) throw_corrupt(name + ": footer: wrong magic (offset " + std::to_string(at + 120) + ")");
  if (!checksum) throw_corrupt(name + ": footer: checksum does not match (offset " + std::to_string(at + 112) + ")");

  ByteCursor c(tail, name + ": footer", at);
  Footer footer;
  footer.archive_size = c.u64("archive_size");
  footer.index_offset = c.u64("index_offset");
  footer.index_size = c.u64("index_size");
  c.zeros(8, "reserved");
  footer.content_id = c.hash128("content_id");
  check_version(c);
  c.zeros(40, "reserved");
  if (std::memcmp(head.data + 8, tail.data + 48, 24) != 0)
    throw_corrupt(name + ": header and footer differ (offset " + std::to_string(at + 48) + ")");
  if (footer.archive_size != archive_size)
    throw_corrupt(name + ": footer: archive_size is " + std::to_string(footer.archive_size) + ", the archive has " +
                  std::to_string(archive_size) + " bytes (offset " + std::to_string(at) + ")");
  if (footer.index_offset % 64 || footer.index_offset < kHeaderSize || footer.index_offset > at ||
      footer.index_size > at - footer.index_offset || align64(footer.index_offset + footer.index_size) != at)
    throw_corrupt(name + ": footer: index_offset " + std::to_string(footer.index_offset) + " and index_size " +
                  std::to_string(footer.index_size) + " do not lead to the footer (offset " + std::to_string(at + 8) +
                  ")");
  return footer;
}

}  // namespace mithril
