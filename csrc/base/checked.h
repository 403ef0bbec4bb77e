// Arithmetic on sizes that come from outside: overflow is an empty optional, never a wrapped value.
#pragma once
#include <cstdint>
#include <optional>

namespace mithril {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_add_overflow(a, b, &r) ? std::nullopt : std::optional<uint64_t>(r);
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_mul_overflow(a, b, &r) ? std::nullopt : std::optional<uint64_t>(r);
}

constexpr uint64_t ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

// Next multiple of 64; the caller has checked that it exists.
constexpr uint64_t align64(uint64_t x) { return (x + 63) & ~uint64_t{63}; }

}  // namespace mithril
