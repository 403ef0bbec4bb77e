"""Edited copies of a text that aim at a Jaccard similarity of the words' 5-grams."""

import random
import re
from collections.abc import Sequence

from benchmarks.dedup.contender import NGRAM, WORD

# Mixed edits twice as often as each other kind.
KINDS = ("replace", "delete", "insert", "mixed", "mixed", "boilerplate", "truncate", "move")


class Editor:
    def __init__(self, vocabulary: Sequence[str], boilerplate: Sequence[str], rng: random.Random) -> None:
        self.vocabulary, self.boilerplate, self.rng = vocabulary, boilerplate, rng

    def copy(self, text: str, kind: str, target: float) -> str:
        """A copy of `text` with edits of one kind, as many as should bring the similarity near `target`."""
        spans = [match.span() for match in WORD.finditer(text)]
        if kind == "exact":
            return text
        if kind == "form":
            return self._reform(text)
        if len(spans) <= NGRAM:
            return f"{text} {self._word()}"
        if kind == "boilerplate":
            return self._add(text, spans, max(1, round(len(spans) * (1 - target) / target)))
        if kind == "truncate":
            return self._truncate(text, spans, max(NGRAM, round(len(spans) * target)))
        # A changed word changes five shingles on both sides: s shingles, e edits, J = (s - 5e) / (s + 5e).
        edits = max(1, round((len(spans) - NGRAM + 1) * (1 - target) / (1 + target) / NGRAM))
        if kind == "move":  # breaks three seams of four shingles
            return self._move(text, spans, max(1, round(edits * NGRAM / (3 * (NGRAM - 1)))))
        return self._change(text, spans, kind, edits)

    def _word(self) -> str:
        return self.rng.choice(self.vocabulary)

    def _reform(self, text: str) -> str:
        """The same words in another case, with other punctuation and spacing."""
        form = self.rng.choices([str, str.lower, str.upper], [50, 35, 15])[0](text)
        form = re.sub("[,;:.!?]", lambda match: match[0] if self.rng.random() < 0.6 else "", form)
        form = re.sub(" ", lambda match: match[0] if self.rng.random() < 0.95 else "  ", form)
        return form if form != text else text + " ."

    def _add(self, text: str, spans: list[tuple[int, int]], count: int) -> str:
        """`count` words of other texts before, after or within the whole text."""
        words: list[str] = []
        if count > 12 and self.boilerplate and self.rng.random() < 0.6:
            while len(words) < count:
                words += WORD.findall(self.rng.choice(self.boilerplate))
        else:
            words = [self._word() for _ in range(count)]
        added = " ".join(words[:count])
        where = self.rng.choice(("before", "after", "within"))
        if where == "before":
            return f"{added}\n\n{text}"
        if where == "after":
            return f"{text}\n\n{added}"
        at = self.rng.choice(spans)[0]
        return f"{text[:at]}{added} {text[at:]}"

    def _truncate(self, text: str, spans: list[tuple[int, int]], keep: int) -> str:
        keep = min(keep, len(spans))
        return text[: spans[keep - 1][1]] if self.rng.random() < 0.5 else text[spans[-keep][0] :]

    def _move(self, text: str, spans: list[tuple[int, int]], count: int) -> str:
        starts = [0, *(start for start, _ in spans[1:])]
        words = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
        for _ in range(count):
            a, b, c = sorted(self.rng.sample(range(len(words) + 1), 3))
            words[a:c] = words[b:c] + words[a:b]
        return "".join(words)

    def _change(self, text: str, spans: list[tuple[int, int]], kind: str, count: int) -> str:
        """Single words replaced, deleted or inserted, at least five apart where the text has room."""
        places = list(range(self.rng.randrange(NGRAM), len(spans), NGRAM))
        chosen = sorted(self.rng.sample(places, min(count, len(places))))
        out, at = [], 0
        for place in chosen:
            start, end = spans[place]
            how = self.rng.choice(("replace", "replace", "delete", "insert")) if kind == "mixed" else kind
            out += [text[at:start], "" if how == "delete" else self._word()]
            if how == "insert":
                out += [" ", text[start:end]]
            at = end
        return "".join([*out, text[at:]])
