"""Holds every #include of csrc/ against the layer table in csrc/README.md; prints what breaks it and exits with 1."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("folder", "may include", "only user of")

# The third-party names as the table's third column writes them, and the headers that belong to each.
THIRD_PARTY = {
    "zstd": re.compile(r"(zstd|zdict)(_errors)?\.h"),
    "oneTBB": re.compile(r"(oneapi/)?tbb/.*"),
    "simdjson": re.compile(r"simdjson\.h"),
    "utf8proc": re.compile(r"utf8proc\.h"),
    "xxHash": re.compile(r"xxh(ash|3)\.h"),
    "pybind11": re.compile(r"pybind11/.*|Python\.h"),
    "torch": re.compile(r"(torch|ATen|c10)/.*"),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")', re.MULTILINE)


@dataclass(frozen=True)
class Room:
    may_include: frozenset[str]
    owns: dict[str, str | None]  # third-party name → the one file that may include it, or None for the whole room


def parse_table(text: str) -> dict[str, Room]:
    """Reads the first table whose header starts with COLUMNS. "all above" and "all but x" name rooms of the table."""
    lines = text.splitlines()
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    start = next((i for i, row in enumerate(cells) if tuple(map(str.lower, row[:3])) == COLUMNS), None)
    if start is None:
        sys.exit(f"csrc/README.md: no table with the columns {' | '.join(COLUMNS)}")
    rows = []
    for line, row in zip(lines[start + 2 :], cells[start + 2 :], strict=True):
        if not line.strip().startswith("|"):
            break
        rows.append([row[0].strip("`/"), *row[1:3]])
    names = [name for name, _, _ in rows]
    return {
        name: Room(parse_rooms(may_include, names, above=names[:i]) | {name}, parse_owned(owned))
        for i, (name, may_include, owned) in enumerate(rows)
    }


def parse_rooms(cell: str, names: list[str], above: list[str]) -> frozenset[str]:
    words = re.findall(r"\w+", cell)
    if words[:2] == ["all", "above"]:
        return frozenset(above)
    if words[:2] == ["all", "but"]:
        return frozenset(names).difference(words[2:])
    unknown = set(words) - set(names) - {"std"}
    if unknown:
        sys.exit(f"csrc/README.md: the layer table names rooms it does not have: {', '.join(sorted(unknown))}")
    return frozenset(words) - {"std"}


def parse_owned(cell: str) -> dict[str, str | None]:
    owned = {}
    for name in THIRD_PARTY:
        if match := re.search(rf"\b{name}\b(?:\s*\(`?([\w.]+)`?\))?", cell):
            owned[name] = match[1]
    return owned


def violations(csrc: Path, rooms: dict[str, Room]) -> Iterator[str]:
    for path in sorted(csrc.rglob("*.[hc]*")):
        if path.suffix not in (".h", ".cpp"):
            continue
        file = path.relative_to(csrc)
        if file.parts[0] not in rooms:
            yield f"csrc/{file}: its folder is not in the layer table"
            continue
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            if reason := objection(file, rooms[file.parts[0]], match[1], csrc):
                yield f"csrc/{file}:{text.count(chr(10), 0, match.start(1)) + 1}: {match[1]}: {reason}"


def objection(file: Path, room: Room, include: str, csrc: Path) -> str | None:
    target = include[1:-1]
    for name, headers in THIRD_PARTY.items():
        if headers.fullmatch(target):
            if name not in room.owns:
                return f"{name} belongs to another room"
            if room.owns[name] not in (None, file.name):
                return f"only {room.owns[name]} may include {name}"
            return None
    if include.startswith("<"):
        return None
    if not target.startswith("csrc/"):
        return 'own headers are included from the root, "csrc/..."'
    if not (csrc.parent / target).is_file():
        return "there is no such file"
    if target.split("/")[1] not in room.may_include:
        return f"{file.parts[0]}/ may not include {target.split('/')[1]}/"
    return None


def main() -> None:
    csrc = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "csrc"
    found = list(violations(csrc, parse_table((csrc / "README.md").read_text(encoding="utf-8"))))
    print(*found, f"layers: {len(found)} violations", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
