// The kernels of rows, included after the rows of rans and of bits and the forms of keys of an instruction set.

namespace mithril::MITHRIL_ISA_NAMESPACE {

namespace {

template <class Form>
class Source {
 public:
  Source(const uint8_t* raw, const uint8_t* next, uint8_t* const* planes, uint32_t top_bits, uint32_t base)
      : raw_(raw), next_(next), planes_(planes), top_bits_(top_bits), pack_(top_bits) {
    before_ = words_of(base + 1), unused_ = bytes_of(0xffu << top_bits & 0xff);
  }

  template <size_t Groups>
  bool operator()(size_t at, V (&row)[Groups]) const {
    constexpr size_t kRow = Groups * kWidth * Form::kBytesWide;
    for (size_t k = 0; k < kRow; k += 64)
      __builtin_prefetch(next_ + Form::kBytesWide * at + k, 0, 2);  // to the second-level cache
    V top[Groups];
    Bad bad{};
    for (size_t g = 0; g < Groups; g++) {
      size_t i = at + kWidth * g;
      Form::split(raw_ + Form::kBytesWide * i, before_, row[g], top[g], planes_ + 1, i, bad);
      bad |= bad_bits(top[g], unused_);
    }
    if (is_bad(bad)) return false;
    pack_.store_row(planes_[0] + at / 8 * top_bits_, top);
    return true;
  }

 private:
  const uint8_t *raw_, *next_;
  uint8_t* const* planes_;
  uint32_t top_bits_;
  PackBits pack_;
  V before_, unused_;
};

#if MITHRIL_DECODES_ROWS
template <class Form, bool Streams>
class Sink {
 public:
  Sink(const uint8_t* const* planes, uint8_t* raw, uint8_t* to, uint32_t top_bits, uint32_t base)
      : planes_(planes), raw_(raw), top_bits_(top_bits), unpack_(top_bits) {
    before_ = words_of(base + 1);
    head_ = -reinterpret_cast<uintptr_t>(to) % 64;
    to_ = to + (Streams ? head_ : 0);
  }

  void operator()(size_t at, V key) const {
    V top = unpack_(load_packed(planes_[0] + at / 8 * top_bits_, top_bits_));
    Form::join(key, top, planes_ + 1, at, before_, raw_ + Form::kBytesWide * at);
    if (Streams && at >= kBehind) lines((at - kBehind) / 64 * Form::kBytesWide, Form::kBytesWide);
  }
  // What is left to stream when so many components have been decoded.
  void finish(size_t count) const {
    if (!Streams || count == 0) return;
    size_t done = count > kBehind ? (count - kBehind) / 64 * Form::kBytesWide : 0;
    lines(done, (count * Form::kBytesWide - head_) / 64 - done);
  }

 private:
  // Far enough behind that what is read has left the store buffer. Streaming bit by bit, the memory keeps up.
  static constexpr size_t kBehind = 1024;

  void lines(size_t first, size_t count) const {
    for (size_t k = first; k < first + count; k++) stream(to_ + 64 * k, raw_ + head_ + 64 * k);
  }

  const uint8_t* const* planes_;
  uint8_t *raw_, *to_;
  size_t head_;
  uint32_t top_bits_;
  UnpackBits unpack_;
  V before_;
};
#endif

template <class Form>
struct Rows {
  static size_t encode(const RansTable& table, uint32_t lanes, uint32_t top_bits, uint32_t base, const uint8_t* raw,
                       const uint8_t* next, size_t rows, uint8_t* const* planes, RansEncoder& encoder) noexcept {
    return encode_with(table, lanes, rows, encoder, Source<Form>(raw, next, planes, top_bits, base));
  }
#if MITHRIL_DECODES_ROWS
  static size_t decode(const RansTable& table, uint32_t lanes, uint32_t top_bits, uint32_t base,
                       const uint8_t* const* planes, size_t rows, uint8_t* raw, uint8_t* to,
                       RansDecoder& decoder) noexcept {
    auto with = [&](const auto& sink) {
      size_t n = decode_with(table, lanes, rows, decoder, sink);
      sink.finish(n * lanes);
      return n;
    };
    return to ? with(Sink<Form, true>(planes, raw, to, top_bits, base))
              : with(Sink<Form, false>(planes, raw, to, top_bits, base));
  }
#else  // 16 registers are too few to decode and join at once: apart it is 5 to 10 % faster.
  static constexpr decltype(KeyRowKernels::decode) decode = nullptr;
#endif
  static constexpr KeyRowKernels kernels() { return {encode, decode}; }
};

}  // namespace

extern const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
const KeyRowKernels kKeyRows[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1] = {
    {{}, Rows<BFloat16<1>>::kernels(), Rows<BFloat16<2>>::kernels()},
    {{}, {}, Rows<Float16>::kernels()},
    {{}, Rows<Float32<1>>::kernels(), Rows<Float32<2>>::kernels()},
    {},
    {{}, {}, Rows<Float8<3>>::kernels()},
    {{}, {}, Rows<Float8<2>>::kernels()}};

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
