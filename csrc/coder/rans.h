// The rans coders piece by piece: a model is chosen from a sample, a plane is encoded from its end to its begin and
// decoded from its begin to its end, in pieces, so that a block can pass through the first-level cache once.
// Streams: docs/format.md 6.5 (rans, only read) and 6.6 (context_rans).
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "csrc/base/buffer_pool.h"
#include "csrc/base/bytes.h"
#include "csrc/base/ids.h"
#include "csrc/coder/plane.h"
#include "csrc/coder/rans_kernels.h"

namespace mithril {

inline constexpr uint64_t kRansUnit = 1024;  // symbols: segments and pieces begin at multiples
inline constexpr uint32_t kRansMaxSegments = 64;

// Which table codes which symbols: one after the other (segments), or by the context of a symbol (classes). The symbols
// of a segment whose table has size 0 stand verbatim.
struct RansModel {
  uint32_t lanes = 64;
  std::vector<RansTable> tables;       // of the segments, or of the classes
  std::vector<uint64_t> segment_ends;  // in symbols; empty when the tables are those of classes
  uint8_t class_of[256] = {};
  uint64_t estimate = 0;  // bytes of the stream, about

  RansClasses classes() const;
};

struct RansOptions {
  uint32_t max_table = kRansMaxTable;
  bool small = false;          // 64 lanes however many symbols: smaller, and slower where registers are wide
  uint64_t segment = 1 << 15;  // symbols, at least, between which tables may change
  uint32_t max_segments = 8;   // up to kRansMaxSegments
};

// Makes the model of a plane of `count` symbols from a sample. False when the plane is too flat to gain anything.
bool choose_segments(const Sample& sample, uint64_t count, const RansOptions& options, RansModel& model);
// The same with classes of a context, from the whole plane: context[i] belongs to symbols[i]. False when no choice of
// classes promises less than `limit` bytes.
bool choose_classes(const uint8_t* symbols, const uint8_t* context, uint64_t count, const RansOptions& options,
                    uint64_t limit, RansModel& model);

// Memory of one plane in work; reused.
class RansScratch {
 public:
  uint8_t* take(uint64_t size);  // contents are undefined; valid until the next call
  RansModel model;

 private:
  std::unique_ptr<Buffer> buffer_;
};

class RansEncoding {
 public:
  // The model lies in `scratch`, and both live as long as this.
  RansEncoding(uint64_t count, RansScratch& scratch, const RansKernels& kernels);
  // The piece that ends where the one before began, the first where the plane ends; `begin` is a multiple of kRansUnit.
  // `context` is used with classes only.
  void put(const uint8_t* symbols, const uint8_t* context, uint64_t begin, uint64_t count);
  // As much of the end of the same piece as `encode`(table, lanes, first symbol, rows, encoder), which returns how many
  // of its last rows it has coded, can do; returns how many symbols. The rest is left to put().
  template <class Encode>
  uint64_t put_rows(uint64_t begin, uint64_t count, const Encode& encode) {
    if (!enter_segment(begin, count) || count % model_.lanes) return 0;
    uint64_t from = std::max(begin, segment_ ? model_.segment_ends[segment_ - 1] : 0);
    uint64_t rows = (begin + count - from) / model_.lanes;
    return encode(model_.tables[segment_], model_.lanes, from, rows, state_) * model_.lanes;
  }
  uint64_t size();           // of the stream, when all is put
  void write(uint8_t* out);  // size() bytes

 private:
  // Goes to the segment of the last symbol of a piece; whether it has a table of its own.
  bool enter_segment(uint64_t begin, uint64_t count) {
    if (model_.segment_ends.empty()) return false;
    while (segment_ > 0 && model_.segment_ends[segment_ - 1] >= begin + count) segment_--;
    return model_.tables[segment_].size > 0;
  }

  const RansKernels& kernels_;
  const RansModel& model_;
  size_t segment_;  // that of the symbols put last
  uint8_t *bytes_end_, *escapes_end_, *verbatim_, *verbatim_end_;
  RansEncoder state_;
  std::vector<uint8_t> tables_, escapes_;  // as they are stored
  uint32_t escape_counts_[2] = {}, full_escapes_ = 0;
};

class RansDecoding {
 public:
  // Checks all of the stream but what its symbols say. `with_context`: the plane has one, so that classes may occur.
  RansDecoding(Coder coder, ByteView stream, const Plane& shape, bool with_context, RansScratch& scratch,
               const RansKernels& kernels);
  // The next `count` symbols, a multiple of kRansUnit but for the last piece.
  void next(uint8_t* out, const uint8_t* context, uint64_t count);
  // As many of them as `decode`(table, lanes, rows, decoder), which returns how many rows it has decoded, can do;
  // returns how many symbols. The rest is left to next().
  template <class Decode>
  uint64_t next_rows(uint64_t count, const Decode& decode) {
    if (has_classes()) return 0;
    enter_segment();
    if (model_.tables[segment_].size == 0) return 0;
    uint64_t rows = std::min(count, model_.segment_ends[segment_] - at_) / model_.lanes;
    uint64_t n = decode(model_.tables[segment_], model_.lanes, rows, state_) * model_.lanes;
    at_ += n;
    return n;
  }
  void finish() const;  // throws unless all is used up
  bool has_classes() const { return model_.segment_ends.empty(); }
  uint32_t lanes() const { return model_.lanes; }

 private:
  void rows(uint8_t* out, const uint8_t* context, uint64_t rows);
  void use_copy();
  void enter_segment() {
    while (at_ == model_.segment_ends[segment_] && segment_ + 1 < model_.segment_ends.size()) segment_++;
  }

  const RansKernels& kernels_;
  RansModel& model_;
  RansClasses classes_;
  uint64_t at_ = 0, count_;
  size_t segment_ = 0;
  ByteView bytes_;
  const uint8_t* verbatim_;
  RansDecoder state_;
  bool copied_ = false;
  uint8_t copy_[kRansMaxLanes + kRansSlack] = {};
};

// Whole planes at once.
uint64_t encode_context_rans(const Plane& plane, const uint8_t* context, uint8_t* out, uint64_t capacity,
                             RansScratch& scratch, const RansKernels& kernels);  // the model stands in `scratch`
void decode_rans(Coder coder, ByteView stream, const Plane& shape, const uint8_t* context, uint8_t* out,
                 RansScratch& scratch, const RansKernels& kernels);

}  // namespace mithril
