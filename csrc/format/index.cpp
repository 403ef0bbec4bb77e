#include "csrc/format/index.h"

#include <bitset>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/base/tensor_view.h"
#include "csrc/format/header.h"

namespace mithril {

static constexpr char kMagic[] = "MIDX";
static constexpr uint64_t kSmallestEntry = 8 + 8 + 8 + 8 + 8;

uint64_t Entry::numel() const { return TensorView::count(dims); }
uint64_t Entry::frame_end() const { return align64(table_offset + table_size); }

bool is_permutation(const std::vector<uint8_t>& order) {
  std::bitset<256> seen;
  for (uint8_t d : order) {
    if (d >= order.size() || seen[d]) return false;
    seen[d] = true;
  }
  return true;
}

static bool is_utf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    auto at = [&](size_t k) { return i + k < s.size() ? static_cast<uint8_t>(s[i + k]) : 0u; };
    uint32_t a = at(0);
    if (a < 0x80) {
      i += 1;
      continue;
    }
    size_t n = a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
    if (n == 0) return false;
    for (size_t k = 1; k < n; k++)
      if ((at(k) & 0xc0) != 0x80) return false;
    uint32_t b = at(1);  // overlong forms, surrogates and values beyond U+10FFFF
    if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b >= 0xa0) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b >= 0x90))
      return false;
    i += n;
  }
  return true;
}

void check_name(const std::string& name) {
  if (name.size() > kMaxName)
    throw_invalid("name of " + std::to_string(name.size()) + " bytes exceeds the limit " + std::to_string(kMaxName) +
                  ": " + name.substr(0, 64) + "…");
  if (!is_utf8(name)) throw_invalid("name is not UTF-8");
}

std::vector<uint8_t> write_index(const std::vector<Entry>& entries,
                                 const std::map<std::string, std::string>& metadata) {
  ByteBuilder b;
  b.bytes(kMagic, 4), b.u32(0), b.u64(entries.size()), b.u64(metadata.size());
  for (const auto& [key, value] : metadata) {
    if (key.size() > kMaxMetadataKey || value.size() > kMaxMetadataValue)
      throw_invalid("metadata: key or value of '" + key.substr(0, 64) + "' is too long");
    if (!is_utf8(key) || !is_utf8(value)) throw_invalid("metadata: '" + key.substr(0, 64) + "' is not UTF-8");
    b.u64(key.size()), b.text(key), b.u64(value.size()), b.text(value);
  }
  for (const Entry& e : entries) {
    uint64_t start = b.size();
    b.u64(0);
    b.u16(static_cast<uint16_t>(e.kind)), b.u16(static_cast<uint16_t>(e.dtype)), b.u16(0),
        b.u16(static_cast<uint16_t>(e.dims.size()));
    b.u64(e.name.size()), b.text(e.name);
    for (uint64_t d : e.dims) b.u64(d);
    b.bytes(e.dim_order.data(), e.dim_order.size());
    if (e.kind == EntryKind::kAlias) {
      b.u64(e.target);
    } else {
      b.u64(e.frame_offset), b.u64(e.table_offset), b.u64(e.table_size);
      b.hash128(e.content_id);
    }
    b.set_u64(start, b.size() + 8 - start);
    b.u64(xxh3_64(b.data() + start, b.size() - start));
  }
  return b.take();
}

static Entry read_entry(ByteCursor& index, const std::string& name, uint64_t number) {
  uint64_t offset = index.offset();
  uint64_t size = index.u64("entry_size");
  if (size < kSmallestEntry || size - 8 > index.left())
    index.fail("entry_size", std::to_string(size) + " is too small, or beyond the index");
  ByteView body = index.bytes(size - 8, "entry");
  ByteCursor c({body.data - 8, size - 8}, name + ": entry " + std::to_string(number), offset);
  ByteCursor sum({body.data + body.size - 8, 8}, name + ": entry " + std::to_string(number), offset + size - 8);
  if (sum.u64("checksum") != xxh3_64(body.data - 8, size - 8)) sum.fail("checksum", "does not match");

  c.u64("entry_size");
  Entry e;
  uint16_t kind = c.u16("kind");
  if (kind > static_cast<uint16_t>(EntryKind::kForeign)) c.unsupported("kind", std::to_string(kind) + " is not known");
  e.kind = static_cast<EntryKind>(kind);
  uint16_t dtype = c.u16("dtype");
  const DTypeInfo* d = find_dtype(dtype);
  if (!d) c.unsupported("dtype", std::to_string(dtype) + " is not known");
  e.dtype = d->dtype;
  if (uint16_t layout = c.u16("layout")) c.unsupported("layout", std::to_string(layout) + " is not known");
  uint16_t ndim = c.u16("ndim");
  if (ndim > kMaxDims) c.fail("ndim", std::to_string(ndim) + " exceeds the limit " + std::to_string(kMaxDims));
  uint64_t name_size = c.u64("name_size");
  if (name_size > kMaxName)
    c.fail("name_size", std::to_string(name_size) + " exceeds the limit " + std::to_string(kMaxName));
  e.name = std::string(c.text(name_size, "name"));
  if (!is_utf8(e.name)) c.fail("name", "is not UTF-8");
  for (int i = 0; i < ndim; i++) e.dims.push_back(c.u64("dims"));
  try {
    checked_numel(e.dims, d->element_bytes);
  } catch (const Error&) {
    c.fail("dims", "are those of a tensor of 2^63 bytes or more");
  }
  for (int i = 0; i < ndim; i++) e.dim_order.push_back(c.u8("dim_order"));
  if (!is_permutation(e.dim_order)) c.fail("dim_order", "is no permutation");
  if ((e.kind == EntryKind::kValue || e.kind == EntryKind::kForeign) && (ndim != 1 || e.dtype != DType::kUInt8))
    c.fail("dtype", "of a value or foreign blob must be uint8 with one dimension");
  if (e.kind == EntryKind::kAlias) {
    e.target = c.u64("target");
  } else {
    e.frame_offset = c.u64("frame_offset"), e.table_offset = c.u64("table_offset"), e.table_size = c.u64("table_size");
    e.content_id = c.hash128("content_id");
  }
  if (c.left()) c.fail("entry_size", std::to_string(size) + " leaves " + std::to_string(c.left()) + " bytes over", 0);
  return e;
}

Index read_index(ByteView bytes, uint64_t offset, const std::string& name) {
  ByteCursor c(bytes, name + ": index", offset);
  if (c.text(4, "magic") != kMagic) c.fail("magic", "is wrong", 0);
  c.zeros(4, "reserved");
  uint64_t entry_count = c.count(kSmallestEntry, ~uint64_t{0}, "entry_count");
  uint64_t metadata_count = c.count(16, ~uint64_t{0}, "metadata_count");
  Index index;
  const std::string* previous = nullptr;
  for (uint64_t i = 0; i < metadata_count; i++) {
    uint64_t key_size = c.u64("key_size");
    if (key_size > kMaxMetadataKey)
      c.fail("key_size", std::to_string(key_size) + " exceeds the limit " + std::to_string(kMaxMetadataKey));
    std::string key(c.text(key_size, "key"));
    uint64_t value_size = c.u64("value_size");
    if (value_size > kMaxMetadataValue)
      c.fail("value_size", std::to_string(value_size) + " exceeds the limit " + std::to_string(kMaxMetadataValue));
    std::string value(c.text(value_size, "value"));
    if (!is_utf8(key) || !is_utf8(value)) c.fail("metadata", "is not UTF-8");
    if (previous && !(*previous < key)) c.fail("metadata", "keys are not in ascending order");
    previous = &index.metadata.emplace_hint(index.metadata.end(), std::move(key), std::move(value))->first;
  }
  index.entries.reserve(entry_count);
  uint64_t expected = kHeaderSize;  // the frames tile the space between header and index
  for (uint64_t i = 0; i < entry_count; i++) {
    uint64_t at = c.position();
    Entry e = read_entry(c, name, i);
    if (!index.by_name.emplace(e.name, i).second) c.fail("name", "'" + e.name + "' occurs twice", at);
    if (e.kind == EntryKind::kAlias) {
      const Entry* t = e.target < i ? &index.entries[e.target] : nullptr;
      if (!t || t->kind != EntryKind::kTensor || t->dtype != e.dtype || t->dims != e.dims ||
          t->dim_order != e.dim_order)
        c.fail("target", std::to_string(e.target) + " of '" + e.name + "' is not an earlier tensor of the same shape",
               at);
    } else {
      if (e.frame_offset != expected || e.table_offset < e.frame_offset || e.table_offset % 64 ||
          e.table_offset > offset || e.table_size > offset - e.table_offset)
        c.fail("frame_offset", "or table_offset or table_size of '" + e.name + "': the frames do not tile", at);
      expected = e.frame_end();
    }
    index.entries.push_back(std::move(e));
  }
  if (c.left()) c.fail("index_size", "leaves " + std::to_string(c.left()) + " bytes over");
  if (expected != offset)
    c.fail("frame_offset",
           "the frames end at " + std::to_string(expected) + ", the index begins at " + std::to_string(offset), 0);
  return index;
}

Hash128 tensor_content_id(const Entry& entry, uint64_t block_elements, const std::vector<uint64_t>& raw_checksums) {
  ByteBuilder b;
  b.u16(static_cast<uint16_t>(entry.dtype)), b.u16(static_cast<uint16_t>(entry.dims.size())), b.u32(0);
  for (uint64_t d : entry.dims) b.u64(d);
  b.bytes(entry.dim_order.data(), entry.dim_order.size());
  b.u64(block_elements);
  for (uint64_t c : raw_checksums) b.u64(c);
  return xxh3_128(b.data(), b.size());
}

}  // namespace mithril
