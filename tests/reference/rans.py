"""The streams of the coders rans and context_rans (docs/format.md, 6.6 and 6.7): the writer of each, and its reader."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from .errors import FormatError, require

SEGMENT_UNIT = 1024
SEGMENTS, CLASSES = 0, 1  # kinds of context_rans
NOTHING, OTHER_PLANE, SAME_LANE = 0, 1, 3  # kinds of context (3.2)


class Context(NamedTuple):
    """What a recipe gives a plane; `plane` holds the symbols of the other one."""

    kind: int = NOTHING
    plane: bytes = b""


NO_CONTEXT = Context()


class Fields:
    """The fields of a stream, one after the other; one that leads out of it is corrupt."""

    def __init__(self, stream: bytes, coder: str, offset: int) -> None:
        self.stream, self.coder, self.offset, self.position = stream, coder, offset, 0
        self.at = 0  # where the last field read begins, for errors

    def require(self, holds: bool, field: str) -> None:
        require(holds, f"{self.coder}.{field}", self.offset + self.at)

    def take(self, size: int, field: str) -> bytes:
        self.at = self.position
        self.require(size <= len(self.stream) - self.position, field)
        self.position += size
        return self.stream[self.at : self.position]

    def finish(self) -> None:
        self.require(self.position == len(self.stream), "size")

    def integer(self, width: int, field: str) -> int:
        return int.from_bytes(self.take(width, field), "little")

    def frequencies(self, count: int) -> bytes:
        frequencies = self.take(count, "frequencies")
        self.require(0 not in frequencies and sum(frequencies) == 256, "frequencies")
        return frequencies

    def states(self, lanes: int) -> list[int]:
        high, low = self.take(lanes, "high"), self.take(lanes, "low")
        self.require(0 not in high, "high")
        return [256 * x + y for x, y in zip(high, low, strict=True)]

    def escape_list(self, count: int, prefix: str = "") -> tuple[bytes, list[int]]:
        """The rare values, and the nibble of each escape."""
        rare = self.take(15 if count else 0, f"{prefix}rare")
        numbers = halves(self.take(-(-count // 2), f"{prefix}nibbles"))
        self.require(not any(numbers[count:]), f"{prefix}nibbles")
        return rare, numbers[:count]


def halves(data: bytes) -> list[int]:
    return [half for byte in data for half in (byte & 15, byte >> 4)]


def join_halves(numbers: Sequence[int]) -> bytes:
    numbers = [*numbers, *[0] * (len(numbers) % 2)]
    return bytes(a | b << 4 for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def common_values(symbols: bytes, limit: int) -> list[int]:
    return [value for value, _ in Counter(symbols).most_common(limit)]


def share(symbols: bytes, values: Sequence[int]) -> list[int]:
    """Frequencies of the values and of the escape, together 256; the first value takes what rounding leaves."""
    counts, size = Counter(symbols), len(values) + 1
    shares = [1 + 255 * counts[value] // (len(symbols) + 1) * (256 - size) // 256 for value in values]
    return [256 - 1 - sum(shares[1:]), *shares[1:], 1]


def rans_stream(symbols: bytes, lanes: int = 64, table: int = 16) -> bytes:  # 6.6
    """The commonest values in the table, the next 15 as nibbles."""
    common = common_values(symbols, table - 1 + 15) or [0]
    values, rare = common[: table - 1], bytes(common[table - 1 :])
    size = len(values) + 1
    frequencies = share(symbols, values)
    states, coded, escapes = [256] * lanes, bytearray(), bytearray()
    padded = symbols + bytes(values[:1]) * (-len(symbols) % lanes)
    for j in reversed(range(len(padded))):
        k = values.index(padded[j]) if padded[j] in values else size - 1
        if k == size - 1:
            escapes.append(padded[j])
        if states[j % lanes] // 256 >= frequencies[k]:
            coded.append(states[j % lanes] % 256)
            states[j % lanes] //= 256
        head, rest = divmod(states[j % lanes], frequencies[k])
        states[j % lanes] = 256 * head + sum(frequencies[:k]) + rest
    coded.reverse()
    escapes.reverse()
    nibbles = join_halves([rare.index(value) if value in rare else 15 for value in escapes])
    raw = bytes(value for value in escapes if value not in rare)
    head = struct.pack("<BBHIII", lanes, size, 0, len(escapes), len(raw), len(coded)) + bytes(values + frequencies)
    head += bytes(state >> 8 for state in states) + bytes(state & 255 for state in states)
    return head + (rare.ljust(15, b"\0") if escapes else b"") + nibbles + raw + bytes(coded)


def decode_rans(stream: bytes, count: int, offset: int) -> bytes:
    fields = Fields(stream, "rans", offset)
    lanes, size = fields.integer(1, "lanes"), fields.integer(1, "table_size")
    fields.require(lanes in (64, 128), "lanes")
    fields.require(2 <= size <= 32, "table_size")
    fields.require(fields.integer(2, "reserved") == 0, "reserved")
    names = ("escape_count", "raw_escape_count", "rans_size")
    escape_count, raw_count, rans_size = (fields.integer(4, name) for name in names)
    fields.require(escape_count <= count, "escape_count")
    values = fields.take(size - 1, "values")
    fields.require(len(set(values)) == size - 1, "values")
    frequencies = fields.frequencies(size)
    states = fields.states(lanes)
    rare, numbers = fields.escape_list(escape_count)
    raw, data = fields.take(raw_count, "raw_escapes"), fields.take(rans_size, "bytes")
    fields.finish()
    fields.require(numbers.count(15) == raw_count, "raw_escape_count")

    in_full = iter(raw)
    escapes = iter([rare[number] if number < 15 else next(in_full) for number in numbers])
    slots = [k for k, frequency in enumerate(frequencies) for _ in range(frequency)]
    starts = [sum(frequencies[:k]) for k in range(size)]
    table = [(frequencies[k], slot - starts[k], values[k] if k < size - 1 else None) for slot, k in enumerate(slots)]
    return decode_symbols(fields, count, lambda j, symbols: table, -(-count // lanes) * lanes, states, data, escapes)


Table = list[tuple[int, int, int | None]]  # of each slot: frequency, rank and value, which is None for the escape


def decode_symbols(
    fields: Fields,
    count: int,
    table_of: Callable[[int, bytearray], Table | int],
    end: int,
    states: list[int],
    data: bytes,
    escapes: Iterator[int],
) -> bytes:
    """Symbols 0 to `end`, those from `count` on padding. `table_of` gives the table of a symbol, knowing those before
    it, or the symbol itself where it stands verbatim."""
    lanes, coded, symbols = len(states), iter(data), bytearray()
    try:
        for j in range(end):
            table = table_of(j, symbols)
            if isinstance(table, int):
                symbols.append(table)
                continue
            head, slot = divmod(states[j % lanes], 256)
            frequency, rank, value = table[slot]
            state = frequency * head + rank
            states[j % lanes] = state if state >= 256 else 256 * state + next(coded)
            fields.require(value is not None or j < count, "padding")
            symbols.append(next(escapes) if value is None else value)
    except StopIteration:
        raise FormatError("corrupt", f"{fields.coder}.bytes", fields.offset) from None
    fields.require(all(state == 256 for state in states), "states")
    fields.require(next(coded, None) is None and next(escapes, None) is None, "bytes")
    return bytes(symbols[:count])


def context_rans_stream(
    symbols: bytes,
    context: Context = NO_CONTEXT,
    *,
    lanes: int = 64,
    segments: Sequence[int] = (),
    verbatim: Sequence[int] = (),
    classes: int = 0,
    values: int = 31,
    rare: int = 15,
    second_rare: int = 15,
) -> bytes:  # 6.7
    """With `segments`, the lengths of all but the last in units of 1024, those numbered in `verbatim` verbatim; or with
    that many `classes`, to which the contexts belong in turn. `values`: of a table, at most; `rare`: of each list."""
    count = len(symbols)
    kinds = table_numbers(symbols, context, lanes, segments, classes)
    table_count = classes or len(segments) + 1
    members = [bytes(s for s, kind in zip(symbols, kinds, strict=True) if kind == k) for k in range(table_count)]
    tables = [None if k in verbatim else sorted(common_values(part, values) or [0]) for k, part in enumerate(members)]
    entries: list[tuple[list[int], list[list[int]]]] = []  # frequencies, and the slots of each entry in ascending order
    for part, table in zip(members, tables, strict=True):
        frequencies = share(part, table or [0])
        ends = [0, *accumulate(frequencies)]
        slots = [sorted(u // 2 if u % 2 == 0 else 128 + u // 2 for u in range(*span)) for span in pairwise(ends)]
        entries.append((frequencies, slots))

    last = 0 if classes else table_count - 1  # the table of padding: context 0 is of class 0
    padding = tables[last]
    end = count if padding is None else -(-count // lanes) * lanes
    padded, kinds = symbols + bytes((padding or [0])[:1]) * (end - count), kinds + [last] * (end - count)
    states, coded, escapes = [256] * lanes, bytearray(), bytearray()
    for j in reversed(range(end)):
        table = tables[kinds[j]]
        if table is None:
            continue
        if padded[j] not in table:
            escapes.append(padded[j])
        k = table.index(padded[j]) if padded[j] in table else len(table)
        frequencies, slots = entries[kinds[j]]
        if states[j % lanes] // 256 >= frequencies[k]:
            coded.append(states[j % lanes] % 256)
            states[j % lanes] //= 256
        head, rest = divmod(states[j % lanes], frequencies[k])
        states[j % lanes] = 256 * head + slots[k][rest]
    coded.reverse()
    escapes.reverse()

    common = bytes(common_values(bytes(escapes), rare + second_rare))
    first = escape_list(bytes(escapes), common[:rare])
    second = escape_list(first[1], common[rare:])
    data = struct.pack("<4B", lanes, CLASSES if classes else SEGMENTS, table_count, 0)
    data += struct.pack("<4I", len(escapes), len(first[1]), len(second[1]), len(coded))
    if classes:
        data += join_halves([c % classes for c in range(256)])
    else:
        data += struct.pack(f"<{len(segments)}H", *segments)
    for table, (frequencies, _) in zip(tables, entries, strict=True):
        data += bytes(2) if table is None else table_head(table) + bytes(frequencies)
    data += bytes(state >> 8 for state in states) + bytes(state & 255 for state in states)
    stands = bytes(s for s, kind in zip(symbols, kinds, strict=False) if tables[kind] is None)
    return data + first[0] + second[0] + second[1] + stands + bytes(coded)


def table_numbers(symbols: bytes, context: Context, lanes: int, segments: Sequence[int], classes: int) -> list[int]:
    """The table of each symbol."""
    if classes:
        contexts = context.plane if context.kind == OTHER_PLANE else bytes(lanes) + symbols
        return [c % classes for c in contexts[: len(symbols)]]
    ends = [*accumulate(SEGMENT_UNIT * length for length in segments), len(symbols)]
    return [k for k, (begin, end) in enumerate(pairwise([0, *ends])) for _ in range(begin, end)]


def table_head(values: Sequence[int]) -> bytes:
    bits = sum(1 << value - values[0] for value in values)
    bitmap = bits.to_bytes(-(-bits.bit_length() // 8), "little")
    return bytes([values[0], len(bitmap)]) + bitmap


def escape_list(escapes: bytes, rare: bytes) -> tuple[bytes, bytes]:
    """The fields of a list, and the escapes that it does not name."""
    nibbles = join_halves([rare.index(value) if value in rare else 15 for value in escapes])
    fields = rare.ljust(15, b"\0") + nibbles if escapes else b""
    return fields, bytes(value for value in escapes if value not in rare)


def decode_context_rans(stream: bytes, count: int, bits: int, context: Context, offset: int) -> bytes:
    fields = Fields(stream, "context_rans", offset)
    lanes, kind, table_count = (fields.integer(1, name) for name in ("lanes", "kind", "table_count"))
    fields.require(lanes in (64, 128), "lanes")
    fields.require(kind == SEGMENTS or (kind == CLASSES and context.kind != NOTHING), "kind")
    fields.require(1 <= table_count <= (16 if kind == CLASSES else 64), "table_count")
    fields.require(fields.integer(1, "reserved") == 0, "reserved")
    names = ("escape_count", "second_escape_count", "raw_escape_count", "rans_size")
    escape_count, second_count, raw_count, rans_size = (fields.integer(4, name) for name in names)
    fields.require(escape_count <= count, "escape_count")
    ends, class_of = [count], [0] * 256
    if kind == CLASSES:
        class_of = halves(fields.take(128, "class_of"))
        fields.require(max(class_of) < table_count, "class_of")
    else:
        lengths = [fields.integer(2, "segment_lengths") for _ in range(table_count - 1)]
        ends = [*accumulate(SEGMENT_UNIT * length for length in lengths), count]
        fields.require(0 not in lengths and (len(ends) == 1 or ends[-2] < count), "segment_lengths")
    tables = [read_table(fields, bits, kind == SEGMENTS) for _ in range(table_count)]
    segments = [(begin, end, table) for (begin, end), table in zip(pairwise([0, *ends]), tables, strict=False)]
    states = fields.states(lanes)
    rare, numbers = fields.escape_list(escape_count)
    second_rare, second_numbers = fields.escape_list(second_count, "second_")
    fields.require(numbers.count(15) == second_count, "second_escape_count")
    fields.require(second_numbers.count(15) == raw_count, "raw_escape_count")
    raw = fields.take(raw_count, "raw_escapes")
    verbatim = fields.take(sum(end - begin for begin, end, table in segments if table is None), "verbatim")
    data = fields.take(rans_size, "bytes")
    fields.finish()

    in_full = iter(raw)
    second = iter([second_rare[number] if number < 15 else next(in_full) for number in second_numbers])
    escapes = [rare[number] if number < 15 else next(second) for number in numbers]
    fields.require(all(symbol >> bits == 0 for symbol in escapes), "escapes")
    fields.require(all(symbol >> bits == 0 for symbol in verbatim), "verbatim")
    stands = iter(verbatim)
    of_segments = [table for begin, end, table in segments for _ in range(begin, end)]

    def table_of(j: int, symbols: bytearray) -> Table | int:
        if kind == SEGMENTS:
            table = of_segments[min(j, count - 1)]
        elif j >= count:
            table = tables[class_of[0]]
        elif context.kind == OTHER_PLANE:
            table = tables[class_of[context.plane[j]]]
        else:
            table = tables[class_of[symbols[j - lanes] if j >= lanes else 0]]
        return next(stands) if table is None else table

    end = count if tables[-1] is None else -(-count // lanes) * lanes
    return decode_symbols(fields, count, table_of, end, states, data, iter(escapes))


def read_table(fields: Fields, bits: int, may_be_verbatim: bool) -> Table | None:
    """None for a segment that stands verbatim."""
    first_value, bitmap_size = fields.integer(1, "first_value"), fields.integer(1, "bitmap_size")
    if bitmap_size == 0:
        fields.require(may_be_verbatim and first_value == 0, "bitmap_size")
        return None
    fields.require(bitmap_size <= 32, "bitmap_size")
    bitmap = fields.take(bitmap_size, "bitmap")
    values = [first_value + k for k in range(8 * bitmap_size) if bitmap[k // 8] >> k % 8 & 1]
    fields.require(bitmap[0] & 1 == 1 and bitmap[-1] != 0 and len(values) <= 63, "bitmap")
    fields.require(values[-1] >> bits == 0, "values")
    frequencies = fields.frequencies(len(values) + 1)
    numbers = [k for k, frequency in enumerate(frequencies) for _ in range(frequency)]
    entries = numbers[::2] + numbers[1::2]  # of the slots: the even numbers, then the odd ones
    return [(frequencies[k], entries[:slot].count(k), [*values, None][k]) for slot, k in enumerate(entries)]
