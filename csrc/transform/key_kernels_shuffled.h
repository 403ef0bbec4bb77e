// What kernels_body.h says of keys, with shuffles that the compiler does not find: two to ten times as fast. Components
// whose key lies outside of the window, and tails, are left to it. Included after the forms of an instruction set.

namespace mithril::MITHRIL_ISA_NAMESPACE {

extern const Kernels kKernels;

namespace {

template <class Form, KeyLayout Layout, uint32_t J>
struct Shuffled {
  static constexpr size_t kKey = 1 + Form::kBytes + Form::kHigh;
  static const KeyKernels& body() { return kKernels.keys[static_cast<size_t>(Layout)][J]; }

  static uint32_t split(const uint8_t* raw, size_t n, uint32_t base, uint8_t* const* planes) noexcept {
    const V before = words_of(base + 1);
    Bad bad{};
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      V key, top;
      Form::split(raw + Form::kBytesWide * i, before, key, top, planes + 1, i, bad);
      store(planes[kKey] + i, key);
      store(planes[0] + i, top);
    }
    if (is_bad(bad)) return body().split(raw, n, base, planes);
    uint8_t* tail[kKey + 1];
    for (size_t k = 0; k <= kKey; k++) tail[k] = Form::kHigh && k == kKey - 1 ? nullptr : planes[k] + i;
    return body().split(raw + Form::kBytesWide * i, n - i, base, tail);
  }

  static void join(const uint8_t* const* planes, size_t n, uint32_t base, uint8_t* raw) noexcept {
    if (Form::kHigh && planes[kKey - 1]) return body().join(planes, n, base, raw);
    const V before = words_of(base + 1);
    size_t i = 0;
    for (; i + kWidth <= n; i += kWidth)
      Form::join(load(planes[kKey] + i), load(planes[0] + i), planes + 1, i, before, raw + Form::kBytesWide * i);
    const uint8_t* tail[kKey + 1];
    for (size_t k = 0; k <= kKey; k++) tail[k] = Form::kHigh && k == kKey - 1 ? nullptr : planes[k] + i;
    body().join(tail, n - i, base, raw + Form::kBytesWide * i);
  }

  static constexpr KeyKernels kernels() { return {split, nullptr, join}; }
};

}  // namespace

extern const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1];
const KeyKernels kShuffledKeys[static_cast<size_t>(KeyLayout::kCount)][kMaxJoined + 1] = {
    {Shuffled<BFloat16<0>, KeyLayout::kBFloat16, 0>::kernels(),
     Shuffled<BFloat16<1>, KeyLayout::kBFloat16, 1>::kernels(),
     Shuffled<BFloat16<2>, KeyLayout::kBFloat16, 2>::kernels()},
    {{}, {}, Shuffled<Float16, KeyLayout::kFloat16, 2>::kernels()},
    {Shuffled<Float32<0>, KeyLayout::kFloat32, 0>::kernels(), Shuffled<Float32<1>, KeyLayout::kFloat32, 1>::kernels(),
     Shuffled<Float32<2>, KeyLayout::kFloat32, 2>::kernels()},
    {},
    {{}, {}, Shuffled<Float8<3>, KeyLayout::kFloat8E4, 2>::kernels()},
    {{}, {}, Shuffled<Float8<2>, KeyLayout::kFloat8E5, 2>::kernels()}};

}  // namespace mithril::MITHRIL_ISA_NAMESPACE
