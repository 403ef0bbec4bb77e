// Texts in a temporary file without a name, one after another: for what cannot be asked for twice and is too large to
// hold. In memory remain 8 bytes a text.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "csrc/base/bytes.h"
#include "csrc/dedup/mapped_file.h"
#include "csrc/dedup/texts.h"

namespace mithril::dedup {

class SpilledTexts : public Texts {
 public:
  uint64_t count() const override { return ends_.size(); }
  std::string_view text(uint64_t i, std::string&) const override {
    uint64_t begin = i ? ends_[i - 1] : 0;
    return {file_->data() + begin, ends_[i] - begin};
  }

 private:
  friend class TextSpiller;
  std::shared_ptr<const MappedFile> file_;
  std::vector<uint64_t> ends_;
};

class TextSpiller {
 public:
  explicit TextSpiller(const std::string& folder) : file_(folder), texts_(std::make_shared<SpilledTexts>()) {}

  // `count` texts that lie one after another in `data`: offsets[i] to offsets[i + 1]. Throws io; corrupt for offsets
  // that descend or leave the data.
  template <class Offset>
  void add(const Offset* offsets, uint64_t count, ByteView data) {
    if (count == 0) return;
    auto first = static_cast<uint64_t>(offsets[0]), end = static_cast<uint64_t>(offsets[count]);
    if (offsets[0] < 0 || end < first || end > data.size) throw_corrupt("offsets of a column of texts leave its data");
    for (uint64_t i = 0; i < count; i++)
      if (offsets[i + 1] < offsets[i]) throw_corrupt("offsets of a column of texts descend");
    uint64_t base = file_.size() - first;
    file_.write({data.data + first, end - first});
    for (uint64_t i = 0; i < count; i++) texts_->ends_.push_back(base + static_cast<uint64_t>(offsets[i + 1]));
  }
  // Ends the adding.
  std::shared_ptr<const Texts> finish() {
    texts_->file_ = file_.finish("texts of a column in a temporary file");
    return texts_;
  }

 private:
  SpillFile file_;
  std::shared_ptr<SpilledTexts> texts_;
};

}  // namespace mithril::dedup
