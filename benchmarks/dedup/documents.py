"""Texts cut into documents of lognormal length, at ends of paragraphs or of sentences.

Lengths depend on the text alone: equal passages of two files are cut alike, as copied pages are.
"""

import math
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|\n(?=\s*[-*])")


@dataclass(frozen=True)
class Lengths:
    """Characters of a document: a lognormal distribution and its limits."""

    median: int
    sigma: float
    least: int
    most: int
    longest_piece: int  # what is longer is cut at a space
    sentences: bool  # end at sentences, else at paragraphs

    def draw(self, beginning: str) -> int:
        rng = random.Random(zlib.crc32(beginning[:200].encode()))
        return min(self.most, max(self.least, int(self.median * math.exp(self.sigma * rng.gauss(0, 1)))))


PAGES = Lengths(median=1600, sigma=0.9, least=200, most=60_000, longest_piece=3000, sentences=False)
SHORT = Lengths(median=70, sigma=0.45, least=30, most=600, longest_piece=300, sentences=True)


def cut(text: str, lengths: Lengths) -> Iterator[str]:
    """Documents of one text: pieces joined until the length that was drawn is reached."""
    joint = " " if lengths.sentences else "\n\n"
    document: list[str] = []
    size = wanted = 0
    for piece in pieces(text, lengths):
        if not document:
            size, wanted = 0, lengths.draw(piece)
        document.append(piece)
        size += len(piece) + len(joint)
        if size >= wanted:
            yield joint.join(document)
            document = []
    if document and size >= lengths.least:
        yield joint.join(document)


def pieces(text: str, lengths: Lengths) -> Iterator[str]:
    """Paragraphs or sentences, none longer than the longest piece."""
    for paragraph in text.split("\n\n"):
        for piece in _SENTENCE_END.split(paragraph) if lengths.sentences else [paragraph]:
            piece = " ".join(piece.split()) if lengths.sentences else piece.strip()
            while len(piece) > lengths.longest_piece:
                at = piece.rfind(" ", 1, lengths.longest_piece)
                at = at if at > 0 else lengths.longest_piece
                yield piece[:at]
                piece = piece[at:].strip()
            if piece:
                yield piece
