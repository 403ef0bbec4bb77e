// The encoder's policy. Costs are estimated in integers, never timed.
#include <algorithm>
#include <cstring>
#include <optional>

#include "csrc/base/checked.h"
#include "csrc/base/checksum.h"
#include "csrc/codec/codec.h"
#include "csrc/codec/encode_plane.h"
#include "csrc/codec/hints.h"
#include "csrc/codec/key_rows.h"
#include "csrc/transform/transform.h"

namespace mithril {

static constexpr uint64_t kBestLanes = 64;  // of the best effort, see rans_options()

void EncoderOptions::check() const {
  if (zstd_level < 1 || zstd_level > 22) throw_invalid("zstd_level " + std::to_string(zstd_level) + " is not 1 to 22");
  if (block_bytes < 4096 || block_bytes > kMaxBlockBytes)
    throw_invalid("block_bytes " + std::to_string(block_bytes) + " is not 4096 to " + std::to_string(kMaxBlockBytes));
}

// One float type's planes of keys: [top] [bytes] [high] key.
struct KeyPlanes {
  KeyForm form;
  PlaneList list;
  bool wide;  // has key_high, the plane before the last

  KeyPlanes(const DTypeInfo& dtype, KeyForm f)
      : form(f), list(planes_of(Transform::kFloatKeys, dtype, f.parameter())), wide(key_bits(dtype, f.joined) > 8) {}
  uint32_t key() const { return list.count - 1; }
  bool is_high(uint32_t k) const { return wide && k == list.count - 2; }
};

static uint32_t joined_bits(const DTypeInfo& dtype, Effort effort) {
  if (dtype.exponent_bits < 8) return std::min(dtype.mantissa_bits, 2u);
  return effort == Effort::kFast ? 0 : effort == Effort::kDefault ? 1 : 2;
}

// The window of 255 keys that holds most of a few sampled components; windows begin at multiples, so that a frame has
// few recipes.
static uint32_t choose_base(const uint8_t* raw, uint64_t count, const DTypeInfo& dtype, uint32_t joined) {
  uint32_t bits = key_bits(dtype, joined), shift = bits - 8, width = dtype.component_bytes;
  if (bits <= 8) return 0;
  uint32_t counts[256] = {};
  uint64_t every = std::max<uint64_t>(count / 512, 1);
  for (uint64_t i = 0; i < count; i += every) {
    uint64_t key = component_at(raw, i, width) >> (dtype.mantissa_bits - joined) & ((uint64_t{1} << bits) - 1);
    if (key) counts[key >> shift]++;
  }
  // Of the windows that hold most, the middle one: what the sample missed lies on either side.
  uint32_t step = bits > 10 ? 64 : 16, last = (1u << bits) - 256, best = 0, first_best = 0, last_best = 0;
  for (uint32_t base = 0; base <= last; base += step) {
    uint32_t sum = 0;
    for (uint32_t b = base >> shift; b < (base + 256) >> shift; b++) sum += counts[b];
    if (sum > best) best = sum, first_best = base;
    if (sum == best) last_best = base;
  }
  return (first_best + last_best) / 2 / step * step;
}

// The planes of sampled components, side by side behind them.
static std::array<uint8_t*, kMaxPlanes> split_sample(const uint8_t* sampled, uint64_t count, const DTypeInfo& dtype,
                                                     const KeyPlanes& planes, Scratch& scratch) {
  std::array<uint8_t*, kMaxPlanes> to{};
  for (uint32_t k = 0; k < planes.list.count; k++) to[k] = scratch.sample.data() + kMaxBlockBytes + k * count;
  split_keys(dtype, planes.form, sampled, count, to.data());
  return to;
}

static bool fit(const uint8_t* symbols, uint64_t count, uint32_t bits) {
  uint8_t all = 0;
  for (uint64_t i = 0; i < count; i++) all |= symbols[i];
  return all >> bits == 0;
}

struct Choice {
  KeyForm form;
  bool promising = false;  // the key is worth coding, by scratch.key_model
};

// As many bits of the mantissa as the effort says, or fewer when there are more keys than a table holds.
static Choice choose_form(const uint8_t* sampled, uint64_t count, uint64_t n, const DTypeInfo& dtype, Effort effort,
                          Scratch& scratch) {
  KeyForm best;
  bool promising = false;
  uint64_t best_bytes = ~uint64_t{0};
  for (uint32_t joined = joined_bits(dtype, effort);; joined--) {
    KeyForm form{joined, false, choose_base(sampled, count, dtype, joined)};
    const KeyPlanes planes(dtype, form);
    RansModel& model = scratch.candidate_model;
    auto to = split_sample(sampled, count, dtype, planes, scratch);
    bool gains = choose_segments({to[planes.key()], count}, n, rans_options(effort), model);
    uint64_t bytes = model.estimate + n * (dtype.mantissa_bits - joined) / 8;
    bool better = bytes < best_bytes;
    if (better) {
      uint64_t raw_size = raw_stream_size(n, planes.list.symbol_bits[planes.key()]);
      best = form, best_bytes = bytes, promising = gains && model.estimate < raw_size - raw_size / 64;
      std::swap(scratch.key_model, model);
    }
    const RansModel& seen = better ? scratch.key_model : model;
    bool full = std::any_of(seen.tables.begin(), seen.tables.end(), [](auto& t) { return t.size == kRansMaxTable; });
    if (!full || joined == 0 || !better) break;
  }
  // Squares and the like have no signs.
  best.no_signs = true;
  if (planes_of(Transform::kFloatKeys, dtype, best.parameter()).count == 0) best.no_signs = false;
  const KeyPlanes planes(dtype, best);
  auto to = split_sample(sampled, count, dtype, planes, scratch);
  best.no_signs = best.no_signs && fit(to[0], count, planes.list.symbol_bits[0]);
  return {best, promising};
}

enum class Treatment { kRaw, kRans, kWhole };

// What a sample promised and the block did not keep.
struct Exceptions {
  uint32_t raw_planes = 0;  // a bit for each plane that is not worth coding
  bool signs = false;       // there are some
};

// Codes `n` components by their keys. Streams go to out, one after the other, and to `streams`; their size is returned,
// or 0 when there is nothing to gain.
static uint64_t encode_keys(const uint8_t* raw, uint64_t n, const DTypeInfo& dtype, const EncoderOptions& options,
                            Scratch& scratch, uint8_t* out, Recipe& recipe, uint32_t first_plane, StreamRecord* streams,
                            Exceptions exceptions = {}) {
  const uint64_t width = dtype.component_bytes;
  const bool best = options.effort() == Effort::kBest;
  const uint64_t one_in = best ? 4 : width == 2 && dtype.exponent_bits < 8 ? 8 : 16;
  uint8_t* sampled = scratch.sample.data();
  uint64_t sample_count = take_sample(raw, n, width, one_in, sampled);
  const Choice choice = choose_form(sampled, sample_count, n, dtype, options.effort(), scratch);
  KeyForm form = choice.form;
  if (exceptions.signs) form.no_signs = false;
  auto again = [&] {
    return encode_keys(raw, n, dtype, options, scratch, out, recipe, first_plane, streams, exceptions);
  };
  const KeyPlanes planes(dtype, form);
  const uint32_t count = planes.list.count;

  // What each plane of the sample says.
  std::array<uint8_t*, kMaxPlanes> to = split_sample(sampled, sample_count, dtype, planes, scratch);
  std::array<Treatment, kMaxPlanes> treatment{};
  bool all_raw = true;
  for (uint32_t k = 0; k < count; k++) {
    Sample sample{to[k], sample_count};
    uint32_t bits = planes.list.symbol_bits[k];
    uint64_t raw_size = raw_stream_size(n, bits);
    if (planes.is_high(k) || exceptions.raw_planes >> k & 1 || is_flat(sample, bits)) continue;
    if (is_constant({to[k], sample_count, 8}) || has_runs(sample) || (best && k == planes.key())) {
      treatment[k] = Treatment::kWhole;
    } else if (k == planes.key()) {
      if (choice.promising) treatment[k] = Treatment::kRans, std::swap(scratch.coder.rans[k].model, scratch.key_model);
    } else if (choose_segments(sample, n, rans_options(options.effort()), scratch.coder.rans[k].model) &&
               scratch.coder.rans[k].model.estimate < raw_size - raw_size / 64) {
      treatment[k] = Treatment::kRans;
    }
    all_raw = all_raw && treatment[k] == Treatment::kRaw;
  }
  if (all_raw) return 0;

  // Raw planes are written where they stand if all planes before them are raw, too. The others wait in scratch.
  std::array<uint64_t, kMaxPlanes> place{};
  std::array<std::optional<RansEncoding>, kMaxPlanes> rans;
  std::array<uint8_t*, kMaxPlanes> whole{};
  for (uint32_t k = 0; k < count; k++) {
    if (k > 0) place[k] = place[k - 1] + raw_stream_size(n, planes.list.symbol_bits[k - 1]);
    whole[k] = scratch.planes.data() + k * n;
    if (treatment[k] == Treatment::kRans) rans[k].emplace(n, scratch.coder.rans[k], rans_kernels(isa()));
  }
  // Pieces can go through the kernels of rows when all planes are raw but for the key.
  const uint8_t* next = scratch.next ? scratch.next : raw;
  KeyRowKernels rows{};
  if (rans[planes.key()]) rows = key_row_kernels(isa(), key_layout(dtype), form.joined);
  for (uint32_t k = 0; k < planes.key(); k++)
    if (treatment[k] != Treatment::kRaw) rows = {};

  uint32_t high = 0;
  for (uint64_t begin = n ? (n - 1) / kPiece * kPiece : 0, size = n - begin;; begin -= kPiece, size = kPiece) {
    if (rows.encode) {
      std::array<uint8_t*, kMaxPlanes> at{};
      size -= rans[planes.key()]->put_rows(
          begin, size, [&](const RansTable& table, uint32_t lanes, uint64_t from, uint64_t n, RansEncoder& encoder) {
            for (uint32_t k = 0; k < planes.key(); k++) at[k] = out + place[k] + from / 8 * planes.list.symbol_bits[k];
            return rows.encode(table, lanes, planes.list.symbol_bits[0], form.base, raw + from * width,
                               next + from * width, n, at.data(), encoder);
          });
      if (size == 0) {
        if (begin == 0) break;
        continue;
      }
    }
    for (uint32_t k = 0; k < count; k++) {
      bool in_place = treatment[k] == Treatment::kRaw && planes.list.symbol_bits[k] == 8;
      to[k] = treatment[k] == Treatment::kWhole ? whole[k] + begin
              : in_place                        ? out + place[k] + begin
                                                : scratch.pieces.data() + k * kPiece;
    }
    high |= split_keys(dtype, form, raw + begin * width, size, to.data());
    if (form.no_signs && !fit(to[0], size, planes.list.symbol_bits[0])) {
      exceptions.signs = true;
      return again();
    }
    for (uint32_t k = 0; k < count; k++) {
      uint32_t bits = planes.list.symbol_bits[k];
      if (rans[k])
        rans[k]->put(to[k], to[k], begin, size);
      else if (treatment[k] == Treatment::kRaw && bits < 8 && !planes.is_high(k))
        encode_raw({to[k], size, bits}, out + place[k] + begin / 8 * bits);
    }
    if (begin == 0) break;
  }

  uint64_t at = 0;
  for (uint32_t k = 0; k < count; k++) {
    Plane plane{whole[k], n, planes.list.symbol_bits[k]};
    uint64_t raw_size = raw_stream_size(n, plane.bits);
    StreamRecord& stream = streams[k];
    if (planes.is_high(k)) {
      if (high)
        split_key_high(dtype, form, raw, n, whole[k]);
      else
        plane.count = 1, whole[k][0] = 0;
      stream = encode_plane(plane, nullptr, true, options, scratch, out + at, nullptr);
    } else if (treatment[k] == Treatment::kWhole) {
      // As context what the lane coded before, which is zero in the first row; the plane before is done with its
      // memory.
      const uint8_t* context = best && k == planes.key() && n > kBestLanes ? plane.symbols - kBestLanes : nullptr;
      if (context) std::memset(whole[k] - kBestLanes, 0, kBestLanes);
      bool used = false;
      stream = encode_plane(plane, context, true, options, scratch, out + at, &used);
      if (used) recipe.contexts[first_plane + k].kind = ContextKind::kLane;
    } else if (rans[k]) {
      stream = {Coder::kContextRans, rans[k]->size()};
      if (stream.size > raw_size) {
        exceptions.raw_planes |= 1u << k;
        return again();
      }
      rans[k]->write(out + at);
    } else {
      stream = {Coder::kRaw, raw_size};
      if (at != place[k]) std::memmove(out + at, out + place[k], raw_size);
    }
    at += stream.size;
  }
  recipe.parameter = form.parameter();
  return at;
}

namespace {

// One block on its way: alternatives are tried one after the other, and the smallest stays.
class BlockEncoder {
 public:
  BlockEncoder(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options,
               Scratch& scratch, uint8_t* out)
      : raw_(raw), dtype_(dtype), options_(options), scratch_(scratch), out_(out) {
    raw_bytes_ = elements * dtype.element_bytes;
    whole_ = {raw, elements, 8 * dtype.element_bytes};
    components_ = raw_bytes_ / dtype.component_bytes;
    block_.raw_checksum = xxh3_64(raw, raw_bytes_);
  }

  EncodedBlock encode() {
    if (is_constant(whole_)) {
      keep_identity({Coder::kConstant, encode_constant(whole_, out_)});
    } else if (dtype_.exponent_bits && options_.split) {
      encode_floats();
    } else if (dtype_.component_bytes > 1 && options_.split && !dtype_.exponent_bits) {
      if (!encode_few_values(look_at(raw_, components_, dtype_.component_bytes))) encode_byte_planes();
    } else {
      keep_identity(encode_plane(whole_, nullptr, false, options_, scratch_, out_, nullptr));
    }
    if (block_.stored_size == 0 || block_.stored_size >= raw_bytes_)
      return stored_raw(raw_, whole_.count, dtype_, block_.raw_checksum);
    block_.data = out_;
    block_.stored_checksum = xxh3_64(out_, block_.stored_size);
    return block_;
  }

 private:
  void keep_identity(StreamRecord stream) {
    block_.recipe = {};
    block_.recipe.planes = planes_of(Transform::kIdentity, dtype_);
    block_.streams[0] = stream;
    block_.stored_size = stream.size;
  }

  void encode_floats() {
    Hints hints = look_at(raw_, components_, dtype_.component_bytes);
    if (encode_few_values(hints)) return;
    if (hints.sparse)
      encode_nonzero();
    else
      encode_all_keys();
    if (hints.few_values || repeats(raw_, components_, dtype_.component_bytes)) try_zstd();
  }

  bool encode_few_values(const Hints& hints) {
    if (!hints.palette) return false;
    uint64_t n = encode_palette(whole_, out_, raw_bytes_ / 2, scratch_.coder);
    if (n) keep_identity({Coder::kPalette, n});
    return n > 0;
  }

  void encode_all_keys() {
    block_.recipe.transform = Transform::kFloatKeys;
    block_.stored_size =
        encode_keys(raw_, components_, dtype_, options_, scratch_, out_, block_.recipe, 0, block_.streams.data());
    block_.recipe.planes = planes_of(Transform::kFloatKeys, dtype_, block_.recipe.parameter);
  }

  void encode_nonzero() {
    uint8_t *mask = scratch_.mask.data(), *nonzero = scratch_.nonzero.data();
    uint64_t n = pick_nonzero(raw_, components_, dtype_.component_bytes, mask, nonzero);
    block_.recipe.transform = Transform::kNonzeroKeys;
    block_.streams[0] = encode_plane({mask, components_, 2}, nullptr, true, options_, scratch_, out_, nullptr);
    // The mask must leave room for what the other planes may take, each rounded up to bytes.
    if (block_.streams[0].size + n * dtype_.component_bytes + kMaxPlanes > encoded_capacity(raw_bytes_))
      return encode_all_keys();
    uint64_t size = encode_keys(nonzero, n, dtype_, options_, scratch_, out_ + block_.streams[0].size, block_.recipe, 1,
                                &block_.streams[1]);
    if (size == 0) return encode_all_keys();
    block_.stored_size = block_.streams[0].size + size;
    block_.recipe.planes = planes_of(Transform::kNonzeroKeys, dtype_, block_.recipe.parameter);
  }

  void encode_byte_planes() {
    uint64_t n = components_;
    block_.recipe.transform = Transform::kBytePlanes;
    block_.recipe.planes = planes_of(Transform::kBytePlanes, dtype_);
    std::array<uint8_t*, kMaxPlanes> planes;
    for (uint32_t k = 0; k < block_.recipe.planes.count; k++) planes[k] = scratch_.planes.data() + k * n;
    split(Transform::kBytePlanes, dtype_, raw_, n, planes.data());
    for (uint32_t k = 0; k < block_.recipe.planes.count; k++) {
      block_.streams[k] =
          encode_plane({planes[k], n, 8}, nullptr, false, options_, scratch_, out_ + block_.stored_size, nullptr);
      block_.stored_size += block_.streams[k].size;
    }
  }

  // Instead of what there is, when smaller.
  void try_zstd() {
    uint64_t room = block_.stored_size ? block_.stored_size - 1 : raw_bytes_ - 1;
    uint64_t n = encode_zstd(whole_, options_.zstd_level, scratch_.planes.data(), room, scratch_.coder.zstd);
    if (n == 0) return;
    std::memcpy(out_, scratch_.planes.data(), n);
    keep_identity({Coder::kZstd, n});
  }

  const uint8_t* raw_;
  const DTypeInfo& dtype_;
  const EncoderOptions& options_;
  Scratch& scratch_;
  uint8_t* out_;
  uint64_t raw_bytes_, components_;
  Plane whole_;
  EncodedBlock block_;
};

}  // namespace

EncodedBlock stored_raw(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, uint64_t raw_checksum) {
  EncodedBlock block;
  block.recipe.planes = planes_of(Transform::kIdentity, dtype);
  block.stored_size = elements * dtype.element_bytes;
  block.streams[0] = {Coder::kRaw, block.stored_size};
  block.stored_checksum = block.raw_checksum = raw_checksum;
  block.data = raw;
  return block;
}

EncodedBlock encode_block(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options,
                          Scratch& scratch, uint8_t* out) {
  return BlockEncoder(raw, elements, dtype, options, scratch, out).encode();
}

uint64_t block_elements(const uint8_t* raw, uint64_t elements, const DTypeInfo& dtype, const EncoderOptions& options) {
  uint64_t usual = options.block_bytes / dtype.element_bytes, most = kMaxBlockBytes / dtype.element_bytes;
  // Of eight places, whether there is nothing to gain: a byte of each component that is worth coding, or all equal.
  constexpr uint64_t kPlaces = 8, kComponents = 512;
  uint64_t width = dtype.component_bytes, n = elements * (dtype.element_bytes / width);
  if (elements <= usual || n < kPlaces * kComponents) return usual;
  bool flat = true, constant = true;
  for (uint64_t byte = 0; byte < width && (flat || constant); byte++) {
    uint8_t sample[kPlaces * kComponents];
    for (uint64_t i = 0; i < kPlaces * kComponents; i++)
      sample[i] = raw[((n - kComponents) / (kPlaces - 1) * (i / kComponents) + i % kComponents) * width + byte];
    flat = flat && is_flat({sample, sizeof sample}, 8);
    constant = constant && is_constant({sample, sizeof sample, 8});
  }
  return flat || constant ? most : usual;
}

}  // namespace mithril
