// EXPECT_ERROR(kind, text, statement): the statement throws mithril::Error of this kind, with `text` in its message.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "csrc/base/error.h"

namespace mithril {

inline const char* kind_name(ErrorKind kind) {
  constexpr const char* kNames[] = {"invalid_argument", "unsupported", "truncated", "corrupt", "not_found", "io"};
  return kNames[static_cast<int>(kind)];
}

template <class F>
testing::AssertionResult fails(ErrorKind kind, std::string_view text, F&& statement) {
  try {
    statement();
  } catch (const Error& e) {
    if (e.kind() != kind)
      return testing::AssertionFailure() << kind_name(e.kind()) << " instead of " << kind_name(kind) << ": "
                                         << e.what();
    if (std::string_view(e.what()).find(text) == std::string_view::npos)
      return testing::AssertionFailure() << "'" << text << "' is not in: " << e.what();
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "no error";
}

#define EXPECT_ERROR(kind, text, ...) EXPECT_TRUE(fails(ErrorKind::kind, text, [&] { __VA_ARGS__; }))

}  // namespace mithril
