// Wire ids and limits of docs/format.md sections 3 to 6. Append-only.
#pragma once
#include <cstdint>

namespace mithril {

enum class Transform : uint16_t { kIdentity = 0, kBytePlanes = 1, kFloatFields = 2 };
enum class Coder : uint16_t { kRaw = 0, kConstant = 1, kZstd = 2, kRans = 3 };
inline constexpr uint16_t kTransforms = 3, kCoders = 4;  // ids from here on are unknown
enum class EntryKind : uint16_t { kTensor = 0, kAlias = 1, kValue = 2, kForeign = 3 };

inline constexpr uint16_t kMajor = 1;
inline constexpr uint16_t kMinor = 0;

inline constexpr uint64_t kMaxName = 4096;
inline constexpr uint64_t kMaxDims = 64;
inline constexpr uint64_t kMaxBlockBytes = 1 << 20;
inline constexpr uint64_t kMaxRecipes = 256;
inline constexpr uint64_t kMaxPlanes = 16;
inline constexpr uint64_t kMaxModels = 65536;
inline constexpr uint64_t kMaxMetadataKey = 4096;
inline constexpr uint64_t kMaxMetadataValue = 64 << 20;

}  // namespace mithril
