"""`mithril cache explain`: why one graph's artifact does not serve another."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mithril.cli._command import Call, command
from mithril.cli._output import printable, write_json

if TYPE_CHECKING:
    from mithril.cache._keys.graph_key import GraphKey


@command("explain", failed="a file is no graph key, or damaged")
@click.argument("key_a", type=click.Path(dir_okay=False))
@click.argument("key_b", type=click.Path(dir_okay=False))
def explain(call: Call, key_a: str, key_b: str) -> None:
    """Say in what two graph keys differ.

    KEY_A and KEY_B are files that hold what `GraphKey.to_json()` gave.
    """
    from mithril.cache._keys.explain import explain_miss

    differences = explain_miss(_read(key_a), _read(key_b))
    if call.as_json:
        write_json({"equal": not differences, "differences": [asdict(difference) for difference in differences]})
        return
    for difference in differences:
        print(printable(difference.meaning))
    if not differences:
        print("the keys are equal")


def _read(path: str) -> "GraphKey":
    from mithril._errors import CorruptError
    from mithril.cache._keys.graph_key import MAX_JSON_BYTES, GraphKey

    with Path(path).open("rb") as file:
        text = file.read(MAX_JSON_BYTES + 1)
    try:
        return GraphKey.from_json(text)
    except CorruptError as error:
        raise CorruptError(f"{path}: {error}") from None
