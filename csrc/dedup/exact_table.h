// Which text came first among equal ones, by the 128-bit XXH3 of the bytes.
#pragma once
#include <cstdint>

#include "csrc/base/bytes.h"
#include "csrc/dedup/zeroed_array.h"

namespace mithril::dedup {

class ExactTable {
 public:
  // At most `capacity` different hashes: 25 bytes each.
  explicit ExactTable(uint64_t capacity) : slots_(capacity + capacity / 4 + 1) {}

  void populate(int threads) { slots_.populate(threads); }

  void prefetch(const Hash128& hash) const { __builtin_prefetch(&slots_[place_of(hash)]); }

  bool contains(const Hash128& hash) const { return slots_[find(hash)].id != 0; }

  // The id of the first text of this hash: `id`, when there was none.
  uint32_t add(const Hash128& hash, uint32_t id) {
    Slot& slot = slots_[find(hash)];
    if (slot.id == 0) slot = slot_of(hash, id);
    return slot.id - 1;
  }

 private:
  struct Slot {
    uint32_t a, b, c, d, id;  // id and 1, so that 0 is none
  };
  static Slot slot_of(const Hash128& hash, uint32_t id) {
    return {static_cast<uint32_t>(hash.low), static_cast<uint32_t>(hash.low >> 32), static_cast<uint32_t>(hash.high),
            static_cast<uint32_t>(hash.high >> 32), id + 1};
  }
  uint64_t place_of(const Hash128& hash) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(hash.high) * slots_.size() >> 64);
  }
  // Where the hash is, or where it would be.
  uint64_t find(const Hash128& hash) const {
    const Slot wanted = slot_of(hash, 0);
    uint64_t i = place_of(hash);
    for (;; i = i + 1 == slots_.size() ? 0 : i + 1) {
      const Slot& s = slots_[i];
      if (s.id == 0 || (s.a == wanted.a && s.b == wanted.b && s.c == wanted.c && s.d == wanted.d)) return i;
    }
  }

  ZeroedArray<Slot> slots_;
};

}  // namespace mithril::dedup
