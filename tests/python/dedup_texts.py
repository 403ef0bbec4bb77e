"""Texts of random words, near duplicates among them."""

import random

WORDS = [f"word{i}" for i in range(4000)]


def made_texts(count: int, seed: int, words: int = 80) -> list[str]:
    """Every third text is an earlier one with up to three words changed; some are equal, some of other scripts."""
    rng = random.Random(seed)
    texts: list[list[str]] = []
    for i in range(count):
        text = rng.choices(WORDS, k=words)
        if i % 3 == 2:
            text = list(rng.choice(texts))
            for _ in range(rng.randrange(4)):
                text[rng.randrange(len(text))] = rng.choice(WORDS)
        if i % 25 == 24:
            text = ["привет", "мир", "これは", "テスト", "🎉", str(i % 2)] * 3
        texts.append(text)
    return [" ".join(text) for text in texts]
