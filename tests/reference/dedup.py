"""What mithril.dedup means by a word, a shingle and a similarity (docs/decisions/0009-dedup.md), written for reading.

It stands on `unicodedata` and sets; nothing of the extension is used, so what both say is right or wrong twice. Python
may know another version of Unicode than utf8proc does: texts compared should hold no code points younger than 14.0.
"""

import bisect
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

Ranges = tuple[tuple[int, int], ...]

# Default_Ignorable_Code_Point of DerivedCoreProperties.txt: they show nothing and are dropped.
IGNORABLE: Ranges = (
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)

# Scripts that put no spaces between words.
UNSPACED: Ranges = (
    (0x0E00, 0x0E7F),  # Thai
    (0x0E80, 0x0EFF),  # Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # Han: iteration mark, closing mark, zero
    (0x3021, 0x3029),  # Han: Hangzhou numerals
    (0x3038, 0x303B),  # Han: more of them, vertical iteration mark
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana, phonetic extensions
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xA9E0, 0xA9FF),  # Myanmar, extended B
    (0xAA60, 0xAA7F),  # Myanmar, extended A
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9F),  # Katakana, half width
    (0x1AFF0, 0x1B16F),  # Kana, extended, supplement and small
    (0x20000, 0x3FFFF),  # Han, extensions B and on
)

# Extended_Pictographic of emoji-data.txt from U+2600 on, letters of flags and skin tones.
EMOJI: Ranges = (
    (0x2600, 0x2605),
    (0x2607, 0x2612),
    (0x2614, 0x2685),
    (0x2690, 0x2705),
    (0x2708, 0x2712),
    (0x2714, 0x2714),
    (0x2716, 0x2716),
    (0x271D, 0x271D),
    (0x2721, 0x2721),
    (0x2728, 0x2728),
    (0x2733, 0x2734),
    (0x2744, 0x2744),
    (0x2747, 0x2747),
    (0x274C, 0x274C),
    (0x274E, 0x274E),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2763, 0x2767),
    (0x2795, 0x2797),
    (0x27A1, 0x27A1),
    (0x27B0, 0x27B0),
    (0x27BF, 0x27BF),
    (0x2934, 0x2935),
    (0x2B05, 0x2B07),
    (0x2B1B, 0x2B1C),
    (0x2B50, 0x2B50),
    (0x2B55, 0x2B55),
    (0x3030, 0x3030),
    (0x303D, 0x303D),
    (0x3297, 0x3297),
    (0x3299, 0x3299),
    (0x1F000, 0x1F0FF),
    (0x1F10D, 0x1F10F),
    (0x1F12F, 0x1F12F),
    (0x1F16C, 0x1F171),
    (0x1F17E, 0x1F17F),
    (0x1F18E, 0x1F18E),
    (0x1F191, 0x1F19A),
    (0x1F1AD, 0x1F1FF),
    (0x1F201, 0x1F20F),
    (0x1F21A, 0x1F21A),
    (0x1F22F, 0x1F22F),
    (0x1F232, 0x1F23A),
    (0x1F23C, 0x1F23F),
    (0x1F249, 0x1F53D),
    (0x1F546, 0x1F64F),
    (0x1F680, 0x1F6FF),
    (0x1F774, 0x1F77F),
    (0x1F7D5, 0x1F7FF),
    (0x1F80C, 0x1F80F),
    (0x1F848, 0x1F84F),
    (0x1F85A, 0x1F85F),
    (0x1F888, 0x1F88F),
    (0x1F8AE, 0x1F8FF),
    (0x1F90C, 0x1F93A),
    (0x1F93C, 0x1F945),
    (0x1F947, 0x1FAFF),
    (0x1FC00, 0x1FFFD),
)


DECOMPOSED = {"NFC": "NFD", "NFKC": "NFKD"}


def within(char: str, ranges: Ranges) -> bool:
    index = bisect.bisect_right(ranges, (ord(char), 0x10FFFF)) - 1
    return index >= 0 and ranges[index][0] <= ord(char) <= ranges[index][1]


@cache
def kind(char: str) -> str:
    """What a code point of a normalised text is: part of a "run", a "single" word, a "mark" of punctuation, or ""."""
    category = unicodedata.category(char)
    if category[0] in "LMN" or category == "Pc":
        return "single" if within(char, UNSPACED) else "run"
    if within(char, EMOJI):
        return "single"
    return "mark" if category[0] in "PS" else ""


@cache
def is_ignorable(char: str) -> bool:
    return within(char, IGNORABLE)


def normalise(text: str, form: str | None = "NFC", fold_case: bool = True) -> str:
    """The text as words are read from it: without ignorable code points, folded, in the normal form."""
    chars = [char for char in text if not is_ignorable(char)]
    if form is not None:
        chars = [unicodedata.normalize(DECOMPOSED[form], char) for char in chars]
    if fold_case:
        chars = [char.casefold() for char in chars]
    return "".join(chars) if form is None else unicodedata.normalize(form, "".join(chars))


def words(
    text: str, *, form: str | None = "NFC", fold_case: bool = True, ignore_punctuation: bool = True
) -> Iterator[str]:
    """Words in order: runs of letters, marks, numbers and connectors; single code points of scripts without spaces;
    single emoji; with `ignore_punctuation=False` also single punctuation marks and symbols."""
    run = ""
    for char in normalise(text, form, fold_case):
        what = kind(char)
        if what == "run":
            run += char
            continue
        if run:
            yield run
            run = ""
        if what == "single" or (what == "mark" and not ignore_punctuation):
            yield char
    if run:
        yield run


def shingles(
    text: str, n: int = 5, *, form: str | None = "NFC", fold_case: bool = True, ignore_punctuation: bool = True
) -> set[tuple[str, ...]]:
    """All n words in a row; one shingle of all words when there are fewer; none when there is no word."""
    found = tuple(words(text, form=form, fold_case=fold_case, ignore_punctuation=ignore_punctuation))
    return {found[i : i + n] for i in range(max(1, len(found) - n + 1))} if found else set()


def jaccard(a: Iterable[tuple[str, ...]], b: Iterable[tuple[str, ...]]) -> float:
    """Of two sets of shingles; empty sets equal nothing, not even each other."""
    a, b = set(a), set(b)
    both = len(a & b)
    return both / (len(a) + len(b) - both) if both else 0.0


def containment(a: Iterable[tuple[str, ...]], b: Iterable[tuple[str, ...]]) -> float:
    """The share of the shingles of `a` that `b` has too."""
    a, b = set(a), set(b)
    return len(a & b) / len(a) if a else 0.0


def keep_first(sets: list[set[tuple[str, ...]]], threshold: float) -> list[int | None]:
    """Of each document the first kept one before it that reaches the threshold (star), or None: it is kept itself.

    All pairs are compared: for small tests.
    """
    kept: list[int] = []
    by: list[int | None] = []
    for i, mine in enumerate(sets):
        by.append(next((k for k in kept if jaccard(mine, sets[k]) >= threshold), None))
        if by[-1] is None:
            kept.append(i)
    return by
