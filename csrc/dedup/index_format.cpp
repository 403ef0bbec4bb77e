#include "csrc/dedup/index_format.h"

#include <cstring>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/dedup/sketch_parameters.h"

namespace mithril::dedup {

static constexpr uint8_t kMagic[8] = {0x89, 'M', 'D', 'I', '\r', '\n', 0x1a, '\n'};
static constexpr uint8_t kEndMagic[8] = {'M', 'D', 'I', '-', 'e', 'n', 'd', '\n'};
static constexpr uint16_t kMajor = 1, kMinor = 0;

std::vector<uint8_t> write_index_header() {
  ByteBuilder b;
  b.bytes(kMagic, sizeof kMagic);
  b.u16(kMajor), b.u16(kMinor), b.zeros(44);
  b.u64(xxh3_64(b.data(), b.size()));
  return b.take();
}

static void write_parameters(ByteBuilder& b, const IndexParameters& p) {
  write_sketch_parameters(b, p.rules, p.shape);
  b.u8(static_cast<uint8_t>(p.measure)), b.u8(p.verify), b.u8(p.stores_texts), b.u8(static_cast<uint8_t>(p.ids));
  b.zeros(4);
  write_f64(b, p.threshold);
}

std::vector<uint8_t> write_index_end(const IndexDirectory& directory, uint64_t offset) {
  ByteBuilder b;
  write_parameters(b, directory.parameters);
  b.u64(directory.documents), b.u64(directory.seen);
  for (const SectionEntry& s : directory.sections) b.u64(s.offset), b.u64(s.size), b.u64(s.checksum);
  uint64_t size = b.size(), checksum = xxh3_64(b.data(), size);
  b.pad64();
  uint64_t footer = b.size();
  b.u64(offset + footer + kIndexFooterSize), b.u64(offset), b.u64(size), b.u64(checksum), b.zeros(16);
  b.u64(xxh3_64(b.data() + footer, 48));
  b.bytes(kEndMagic, sizeof kEndMagic);
  return b.take();
}

static uint64_t stored_u64(const uint8_t* at) {
  uint64_t x;
  std::memcpy(&x, at, 8);
  return x;
}

static void read_header(ByteView file, const std::string& name) {
  if (file.size && std::memcmp(file.data, kMagic, std::min<uint64_t>(file.size, 8)) != 0)
    throw_corrupt(name + ": not a dedup index of mithril (wrong magic, offset 0)");
  if (file.size < kIndexHeaderSize)
    throw_truncated(name + ": header needs 64 bytes, there are " + std::to_string(file.size) + " (offset 0)");
  if (stored_u64(file.data + 56) != xxh3_64(file.data, 56))
    throw_corrupt(name + ": header: checksum does not match (offset 56)");
  ByteCursor c({file.data, kIndexHeaderSize}, name + ": header", 0);
  c.bytes(8, "magic");
  uint16_t major = c.u16("major");
  if (major != kMajor)
    c.unsupported("major",
                  std::to_string(major) + " is not known; this reader knows version " + std::to_string(kMajor));
  c.u16("minor");
  c.zeros(44, "reserved");
}

struct DirectoryPlace {
  uint64_t offset, size;
};

static DirectoryPlace read_footer(ByteView file, const std::string& name) {
  if (file.size < kIndexHeaderSize + kIndexFooterSize)
    throw_truncated(name + ": " + std::to_string(file.size) + " bytes are too few: cut short (offset " +
                    std::to_string(file.size) + ")");
  uint64_t at = file.size - kIndexFooterSize;
  const uint8_t* footer = file.data + at;
  bool magic = std::memcmp(footer + 56, kEndMagic, 8) == 0, checksum = stored_u64(footer + 48) == xxh3_64(footer, 48);
  if (!magic && !checksum)
    throw_truncated(name + ": no footer at the end (offset " + std::to_string(at) + "): cut short, or bytes follow it");
  if (!magic) throw_corrupt(name + ": footer: wrong magic (offset " + std::to_string(at + 56) + ")");
  if (!checksum) throw_corrupt(name + ": footer: checksum does not match (offset " + std::to_string(at + 48) + ")");
  ByteCursor c({footer, kIndexFooterSize}, name + ": footer", at);
  uint64_t size = c.u64("file_size");
  if (size != file.size)
    c.fail("file_size", "is " + std::to_string(size) + ", the file has " + std::to_string(file.size) + " bytes");
  uint64_t offset = c.u64("directory_offset");
  if (offset % 64 || offset < kIndexHeaderSize || offset > at)
    c.fail("directory_offset", std::to_string(offset) + " is no place for it");
  uint64_t directory = c.u64("directory_size");
  if (directory > at - offset || align64(offset + directory) != at)
    c.fail("directory_size", std::to_string(directory) + " does not lead from the directory to the footer");
  if (c.u64("directory_checksum") != xxh3_64(file.data + offset, directory))
    c.fail("directory_checksum", "does not match the directory");
  ByteCursor padding({file.data + offset + directory, at - offset - directory}, name + ": after the directory",
                     offset + directory);
  padding.zeros(padding.left(), "padding");
  c.zeros(16, "reserved");
  return {offset, directory};
}

static IndexParameters read_parameters(ByteCursor& c) {
  IndexParameters p;
  read_sketch_parameters(c, p.rules, p.shape);
  p.measure = read_choice(c, "measure", Measure::kContainment);
  p.verify = read_flag(c, "verify");
  p.stores_texts = read_flag(c, "stores_texts");
  p.ids = read_choice(c, "ids", IdKind::kTexts);
  c.zeros(4, "reserved");
  p.threshold = read_f64(c, "threshold");
  if (!(p.threshold > 0 && p.threshold <= 1)) c.fail("threshold", "is not above 0 and at most 1");
  return p;
}

IndexDirectory read_index_ends(ByteView file, const std::string& name) {
  read_header(file, name);
  DirectoryPlace place = read_footer(file, name);
  ByteCursor c({file.data + place.offset, place.size}, name + ": directory", place.offset);
  IndexDirectory directory;
  directory.parameters = read_parameters(c);
  directory.documents = c.u64("documents");
  if (directory.documents > kMaxIndexDocuments)
    c.fail("documents",
           std::to_string(directory.documents) + " exceeds the limit " + std::to_string(kMaxIndexDocuments));
  directory.seen = c.u64("seen");
  if (directory.seen < directory.documents || directory.seen > kMaxSeen)
    c.fail("seen",
           std::to_string(directory.seen) + " cannot be, with " + std::to_string(directory.documents) + " documents");
  uint64_t end = kIndexHeaderSize, count = kFirstBand + static_cast<uint64_t>(directory.parameters.shape.bands);
  for (uint64_t i = 0; i < count; i++) {
    SectionEntry s;
    s.offset = c.u64("section_offset");
    if (s.offset != end)
      c.fail("section_offset", std::to_string(s.offset) + " of " + section_name(static_cast<uint32_t>(i)) + " is not " +
                                   std::to_string(end));
    s.size = c.u64("section_size");
    if (s.size > place.offset - s.offset)
      c.fail("section_size",
             std::to_string(s.size) + " of " + section_name(static_cast<uint32_t>(i)) + " leads beyond the directory");
    s.checksum = c.u64("section_checksum");
    end = align64(s.offset + s.size);
    directory.sections.push_back(s);
  }
  if (end != place.offset)
    c.fail("section_size",
           "the sections end at " + std::to_string(end) + ", the directory begins at " + std::to_string(place.offset));
  if (c.left()) c.fail("directory_size", "leaves " + std::to_string(c.left()) + " bytes over");
  return directory;
}

}  // namespace mithril::dedup
