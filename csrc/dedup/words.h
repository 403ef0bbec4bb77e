// Text → hashes of its words, in pieces, so that a long text needs little memory.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "csrc/dedup/code_points.h"
#include "csrc/dedup/kernels.h"
#include "csrc/dedup/rules.h"

namespace mithril::dedup {

// Numbers that are appended, and kept without being set to zero first.
template <class T>
class Row {
 public:
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  size_t size() const { return size_; }
  T operator[](size_t i) const { return data_[i]; }
  void clear() { size_ = 0; }
  // Room for `more` behind the last; grow() then says how many were written there.
  T* room(size_t more) {
    if (size_ + more > capacity_) {
      capacity_ = size_ + more + (size_ + more) / 8;
      std::unique_ptr<T[]> wider(new T[capacity_]);
      if (size_) std::memcpy(wider.get(), data_.get(), size_ * sizeof(T));
      data_ = std::move(wider);
    }
    return data_.get() + size_;
  }
  void grow(size_t by) { size_ += by; }
  // Drops all but the last `count`.
  void keep_last(size_t count) {
    if (size_ > count) std::memmove(data_.get(), data_.get() + (size_ - count), count * sizeof(T)), size_ = count;
  }

 private:
  std::unique_ptr<T[]> data_;
  size_t size_ = 0, capacity_ = 0;
};

class Words {
 public:
  explicit Words(const TextRules& rules) : rules_(rules), code_points_(rules), kernels_(kernels(isa())) {}

  const TextRules& rules() const { return rules_; }

  // Memory of one thread.
  struct Scratch {
    std::vector<uint8_t> lower;
    std::vector<uint64_t> word, high, first;
    std::string normalised;
  };

  // Appends the hashes of the words of the next piece of `text`, which begins at byte `position` and is moved past it;
  // behind them is room for kLanes more.
  // A piece ends at white space, or an ideographic stop or comma, after some 16 KiB, or at the end of the text. Throws
  // corrupt, with the offset, where the text is not UTF-8.
  void read(std::string_view text, uint64_t& position, Scratch& scratch, Row<uint32_t>& hashes) const;
  void read(std::string_view text, uint64_t& position, Scratch& scratch, Row<uint64_t>& hashes) const;

 private:
  // What a piece holds beyond ASCII.
  struct Found {
    bool units = false, complex = false;
  };
  template <class Hash>
  void read_piece(std::string_view text, uint64_t& position, Scratch& scratch, Row<Hash>& hashes) const;
  // Fills the masks of scratch for `size` bytes; `origin` is where they stand in the text, for errors.
  Found classify(const uint8_t* piece, uint64_t size, bool normalised, uint64_t origin, Scratch& scratch) const;
  Found look_at_high(const uint8_t* piece, uint64_t size, bool normalised, uint64_t origin, Scratch& scratch) const;
  void mark_punctuation(uint64_t size, Scratch& scratch) const;
  void normalise_runs(uint64_t size, Scratch& scratch) const;

  TextRules rules_;
  CodePoints code_points_;
  const Kernels& kernels_;
};

}  // namespace mithril::dedup
