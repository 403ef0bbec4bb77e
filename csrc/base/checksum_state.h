// Room for the state of a hash in pieces; apart, since the kernels may include nothing of the standard library.
#pragma once

namespace mithril {

inline constexpr unsigned kXxh3StateSize = 640;

}  // namespace mithril
