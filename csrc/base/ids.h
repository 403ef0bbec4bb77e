// Wire ids and limits of docs/format.md sections 3 to 6. Append-only.
#pragma once
#include <cstdint>

namespace mithril {

enum class Transform : uint16_t { kIdentity = 0, kBytePlanes = 1, kFloatFields = 2, kFloatKeys = 3, kNonzeroKeys = 4 };
enum class Coder : uint16_t { kRaw = 0, kConstant = 1, kZstd = 2, kRans = 3, kContextRans = 4, kPalette = 5 };
inline constexpr uint16_t kTransforms = 5, kCoders = 6;  // ids from here on are unknown
enum class ContextKind : uint8_t { kNone = 0, kPlane = 1, kBasePlane = 2, kLane = 3 };
enum class EntryKind : uint16_t { kTensor = 0, kAlias = 1, kValue = 2, kForeign = 3 };

inline constexpr uint16_t kMajor = 1;
inline constexpr uint16_t kMinor = 1;

inline constexpr uint64_t kMaxName = 4096;
inline constexpr uint64_t kMaxDims = 64;
inline constexpr uint64_t kMaxBlockBytes = 1 << 20;
inline constexpr uint64_t kMaxRecipes = 256;
inline constexpr uint64_t kMaxPlanes = 16;
inline constexpr uint64_t kMaxModels = 65536;
inline constexpr uint64_t kMaxMetadataKey = 4096;
inline constexpr uint64_t kMaxMetadataValue = 64 << 20;

}  // namespace mithril
