#include "csrc/base/dtype.h"

#include <gtest/gtest.h>

#include <set>

#include "csrc/base/tensor_view.h"
#include "tests/cpp/support/expect_error.h"

namespace mithril {
namespace {

TEST(DType, TableIsConsistent) {
  std::set<std::string_view> names;
  uint16_t id = 0;
  for (const DTypeInfo& d : kDTypes) {
    SCOPED_TRACE(d.name);
    EXPECT_EQ(static_cast<uint16_t>(d.dtype), ++id) << "ids are 1, 2, ... without gap";
    EXPECT_TRUE(names.insert(d.name).second);
    EXPECT_EQ(find_dtype(id), &d);
    EXPECT_EQ(find_dtype(d.name), &d);
    EXPECT_EQ(&info(d.dtype), &d);
    bool is_complex = d.name.substr(0, 7) == "complex";
    EXPECT_EQ(d.element_bytes, d.component_bytes * (is_complex ? 2 : 1));
    EXPECT_EQ(1 + d.exponent_bits + d.mantissa_bits, d.exponent_bits ? 8 * d.component_bytes : 1);
  }
  EXPECT_EQ(id, 22);
}

TEST(DType, UnknownIsNull) {
  for (uint16_t id : {0, 23, 0x8000, 0xffff}) EXPECT_EQ(find_dtype(id), nullptr);
  for (std::string_view name : {"", "float", "Float32", "float32 "}) EXPECT_EQ(find_dtype(name), nullptr);
}

TEST(TensorView, CheckedNumel) {
  constexpr uint64_t kBig = uint64_t{1} << 62;
  EXPECT_EQ(checked_numel({}, 4), 1u);
  EXPECT_EQ(checked_numel({0}, 16), 0u);
  EXPECT_EQ(checked_numel({3, 5, 7}, 8), 105u);
  EXPECT_EQ(checked_numel({kBig, 0}, 1), 0u);
  EXPECT_EQ(checked_numel({2 * kBig - 1}, 1), 2 * kBig - 1);
  for (const std::vector<uint64_t>& dims :
       {std::vector<uint64_t>{2 * kBig}, {kBig, 2}, {kBig, 4}, {kBig, 4, 0}, {0, kBig, 4}, {~uint64_t{0}, 0}})
    EXPECT_ERROR(kInvalidArgument, "2^63", checked_numel(dims, 1));
  EXPECT_ERROR(kInvalidArgument, "2^63", checked_numel({kBig / 8}, 16));
}

}  // namespace
}  // namespace mithril
