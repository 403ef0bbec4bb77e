"""Two texts side by side, word by word: what differs is marked, what both have is shortened."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Piece", "differences", "marked"]

# Words compared after what both texts begin with, as comparing takes quadratic time at worst.
_COMPARED = 400
# Words shown beside a difference, and of a difference itself; longer words are cut.
_BESIDE = 6
_LONGEST = 40
_WORD = 60

# A word, or a character of a script that writes words without spaces between them; with the space behind it.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORDS = re.compile(rf"(?:[{_UNSPACED}]|[^ {_UNSPACED}]+) ?")


@dataclass(frozen=True)
class Piece:
    """Words of one text. `differs`: the other text does not have them in this place."""

    words: str
    differs: bool


def differences(a: str, b: str, *, fold: bool = True) -> tuple[list[Piece], list[Piece]]:
    """The pieces of `a` and those of `b`. Long stretches are shortened to "…".

    `fold`: words that differ only in case and punctuation are the same.
    """
    bare = _folded if fold else str.rstrip
    words_a, words_b = _words(a), _words(b)
    before = _common([*map(bare, words_a)], [*map(bare, words_b)])
    if before == max(len(words_a), len(words_b)):
        return [Piece(_shorten(words_a, _LONGEST, 0), False)], [Piece(_shorten(words_b, _LONGEST, 0), False)]
    rest_a, rest_b = words_a[before:], words_b[before:]
    after = _common([*map(bare, reversed(rest_a))], [*map(bare, reversed(rest_b))])
    changed_a, changed_b = rest_a[: len(rest_a) - after], rest_b[: len(rest_b) - after]
    if whole := max(len(changed_a), len(changed_b)) <= _COMPARED:
        tail = rest_a[len(rest_a) - after :]
    else:
        changed_a, changed_b, tail = rest_a[:_COMPARED], rest_b[:_COMPARED], []
    pieces_a, pieces_b = [_same(words_a[:before], first=True)], [_same(words_b[:before], first=True)]
    matcher = difflib.SequenceMatcher(None, [*map(bare, changed_a)], [*map(bare, changed_b)], autojunk=False)
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        make = _same if kind == "equal" else _different
        pieces_a.append(make(changed_a[a0:a1]))
        pieces_b.append(make(changed_b[b0:b1]))
    last = _same(tail, last=True) if whole else Piece("…", False)
    return _shown([*pieces_a, last]), _shown([*pieces_b, last])


def marked(pieces: Iterable[Piece], opening: str, closing: str) -> str:
    """The pieces as one line, with what differs between these two signs."""
    parts = []
    for piece in pieces:
        space = " " if piece.words.endswith(" ") else ""
        parts.append(f"{opening}{piece.words.rstrip()}{closing}{space}" if piece.differs else piece.words)
    return "".join(parts).strip()


def _words(text: str) -> list[str]:
    return _WORDS.findall(" ".join([*text.split(), ""]))


def _folded(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum() or c == "_") or word.rstrip()


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words both begin with."""
    shorter = min(len(a), len(b))
    return next((n for n in range(shorter) if a[n] != b[n]), shorter)


def _same(words: Sequence[str], *, first: bool = False, last: bool = False) -> Piece:
    head, tail = (0 if first else _BESIDE), (0 if last else _BESIDE)
    return Piece(_shorten(words, head, tail), False)


def _different(words: Sequence[str]) -> Piece:
    return Piece(_shorten(words, _LONGEST // 2, _LONGEST // 2), True)


def _shorten(words: Sequence[str], head: int, tail: int) -> str:
    if len(words) > head + tail + 1:
        words = [*words[:head], "… ", *words[len(words) - tail :]]
    return "".join(word if len(word) <= _WORD else word[:_WORD] + "… " for word in words)


def _shown(pieces: Sequence[Piece]) -> list[Piece]:
    return [piece for piece in pieces if piece.words]
