#include "csrc/codec/encode_plane.h"

#include <algorithm>
#include <cstring>

#include "csrc/base/checked.h"

namespace mithril {

uint64_t take_sample(const uint8_t* raw, uint64_t components, uint64_t width, uint64_t one_in, uint8_t* out) {
  constexpr uint64_t kAll = 16384;
  if (components <= kAll) {
    std::memcpy(out, raw, components * width);
    return components;
  }
  uint64_t taken = 0, stride = kSampleRun * one_in;
  for (uint64_t at = 0; at < components; at += stride) {
    uint64_t run = std::min(kSampleRun, components - at);
    std::memcpy(out + taken * width, raw + at * width, run * width);
    taken += run;
  }
  return taken;
}

bool is_flat(const Sample& sample, uint32_t bits) {
  constexpr uint64_t kEnough = 2048;
  uint32_t counts[256] = {};
  uint64_t runs = ceil_div(sample.count, kSampleRun), every = std::max<uint64_t>(sample.count / kEnough, 1), total = 0;
  for (uint64_t r = 0; r < runs; r += every) {
    uint64_t begin = r * kSampleRun, end = std::min(begin + kSampleRun, sample.count);
    for (uint64_t i = begin; i < end; i++) counts[sample.symbols[i]]++;
    total += end - begin;
  }
  // How often two symbols are equal, against what it is for symbols that are all as likely.
  uint64_t equal = 0;
  for (uint64_t c : counts) equal += c * (c ? c - 1 : 0);
  return (equal << bits) * 8 <= total * total * 9;
}

bool has_runs(const Sample& sample) {
  constexpr uint64_t kRun = 32;
  uint64_t runs = 0, constant = 0;
  for (uint64_t at = 0; at + kRun <= sample.count; at += kSampleRun, runs++)
    constant += std::memcmp(sample.symbols + at, sample.symbols + at + 1, kRun - 1) == 0;
  return constant * 16 > runs;
}

// Whether a zstd frame of the first 2 KiB finds repeats that symbol counts do not show (counters, repeated records).
static bool has_repeats(const Plane& plane, ZstdContext& zstd) {
  constexpr uint64_t kProbe = 2048;
  uint8_t out[kProbe];
  Plane probe{plane.symbols, kProbe, 8};
  return plane.bytes() >= kProbe && encode_zstd(probe, 1, out, kProbe - kProbe / 16, zstd) > 0;
}

RansOptions rans_options(Effort effort) {
  RansOptions options;
  if (effort == Effort::kBest) options.small = true, options.max_segments = 32;
  return options;
}

StreamRecord encode_plane(const Plane& plane, const uint8_t* context, bool is_float, const EncoderOptions& options,
                          Scratch& scratch, uint8_t* out, bool* used_context) {
  if (is_constant(plane)) return {Coder::kConstant, encode_constant(plane, out)};
  uint64_t raw_size = raw_stream_size(plane.count, plane.bits);
  uint64_t capacity = raw_size - raw_size / 64;  // a lesser gain is not worth a decoder's time
  bool bytes = plane.bits <= 8;
  Sample sample{plane.symbols, plane.bytes()};
  if (!bytes || options.effort() != Effort::kBest) {
    uint8_t* to = scratch.sample.data() + kMaxBlockBytes;
    sample = {to, take_sample(plane.symbols, plane.bytes(), 1, 16, to)};
  }
  bool repeats = is_float ? bytes && has_runs(sample) : has_repeats(plane, scratch.coder.zstd);
  RansScratch& rans = scratch.coder.rans[0];
  const RansKernels& kernels = rans_kernels(isa());
  uint64_t rans_size = 0;
  bool classes = false;
  auto encode = [&](uint64_t room) {
    return encode_context_rans(plane, classes ? context : nullptr, out, room, rans, kernels);
  };
  RansOptions choice = rans_options(options.effort());
  bool promising = choose_segments(sample, plane.bytes(), choice, rans.model) && rans.model.estimate < capacity;
  if (bytes) {
    if (context) {
      uint64_t limit = promising ? rans.model.estimate - rans.model.estimate / 256 : capacity;
      RansModel segments = rans.model;
      classes = choose_classes(plane.symbols, context, plane.count, choice, limit, rans.model);
      if (!classes) rans.model = std::move(segments);
    }
    if (promising || classes) rans_size = encode(capacity);
    if (!rans_size && classes && promising) {
      classes = false;
      choose_segments(sample, plane.count, choice, rans.model);
      rans_size = encode(capacity);
    }
  }
  // On floats zstd only finds what runs hide; elsewhere it may always be smaller.
  if (repeats || (!is_float && promising)) {
    int level = is_float ? 1 : options.zstd_level;
    if (uint64_t n = encode_zstd(plane, level, out, rans_size ? rans_size - 1 : capacity, scratch.coder.zstd))
      return {Coder::kZstd, n};
    if (rans_size) rans_size = encode(capacity);  // once more: zstd has written over it
  }
  if (used_context) *used_context = rans_size > 0 && classes;
  if (rans_size) return {Coder::kContextRans, rans_size};
  return {Coder::kRaw, encode_raw(plane, out)};
}

}  // namespace mithril
