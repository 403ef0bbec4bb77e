"""The table of the README."""

from typing import Any

_ROWS = {
    "plain, cold": "torch alone, nothing cached",
    "torch-remote, filled": "torch with its remote caches of graphs",
    "mega-cache, filled": "torch with its portable artifacts (mega-cache)",
    "mithril, filled": "**mithril**",
    "mithril, filled, moved": "mithril, virtual environment moved",
    "plain, warm": "torch alone, everything warm on this host",
    "mithril, warm": "mithril, everything warm on this host",
}
_KINDS = {"infer": "forward", "train": "forward and backward"}


def readme(first_call: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Seconds and share of the cold start, by contender and kind."""
    lines = ["| | " + " | ".join(_KINDS.values()) + " |", "| --- |" + " --- |" * len(_KINDS)]
    for name, title in _ROWS.items():
        cells = (first_call[kind][name] for kind in _KINDS)
        lines.append(
            f"| {title} | " + " | ".join(f"{c['seconds']:.1f} s, {100 * c['of_cold']:.0f} %" for c in cells) + " |"
        )
    return "\n".join(lines)
