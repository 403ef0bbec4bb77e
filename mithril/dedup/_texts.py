"""Whatever holds texts in memory → texts for the native core, without a copy where the memory allows it.

Nothing is imported for this: an Arrow array, a pandas Series or a dataset is told by what it offers.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from mithril._errors import InvalidArgumentError
from mithril._native import core
from mithril.dedup._arrow import texts_of_arrays

__all__ = ["texts_of"]


def texts_of(texts: Any, column: str = "text") -> core.Texts:
    """Return `texts` as the core reads them.

    Args:
        texts: A list, tuple or other sequence of str, a NumPy array of str or objects, an Arrow string array (chunked
            or not), a pandas Series; or a record batch, table, DataFrame, `datasets.Dataset` or dict of sequences, of
            which `column` is taken. None and null are empty texts. Arrow strings, Datasets included, and ASCII `str`
            are read where they lie.
        column: The column of texts where there are several.

    Raises:
        InvalidArgumentError: A text is not a str, there is not one such column, or the texts have no order.
    """
    if isinstance(texts, core.Texts):
        return texts
    if isinstance(texts, (str, bytes)):
        raise InvalidArgumentError(f"texts is one {type(texts).__name__}, not a sequence of them")
    if isinstance(texts, (list, tuple)):
        return core.texts_from_list(texts)
    arrow = _arrow_of(texts, column)
    if arrow is not None:
        return _from_arrow(arrow)
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(texts, pandas.DataFrame):
        texts = _column_of(texts, column, list(texts.columns))
    if pandas is not None and isinstance(texts, pandas.Series):
        return core.texts_from_list(texts.where(texts.notna(), None).tolist())
    if hasattr(texts, "tolist"):  # NumPy
        if getattr(texts, "ndim", 1) != 1:
            raise InvalidArgumentError(f"texts has {texts.ndim} dimensions, not one")
        return core.texts_from_list(texts.tolist())
    if isinstance(texts, Mapping):
        return texts_of(_sequence_of(texts, column))
    if isinstance(texts, (set, frozenset)):
        raise InvalidArgumentError(f"texts is a {type(texts).__name__}, which has no order")
    if isinstance(texts, Iterable):
        return core.texts_from_list(list(texts))
    raise InvalidArgumentError(f"texts is a {type(texts).__name__}, not a sequence of str")


def _column_of(table: Any, column: str, names: list[str]) -> Any:
    if column not in names:
        raise InvalidArgumentError(f"there is no column {column!r}; there are {', '.join(map(repr, names))}")
    if names.count(column) > 1:
        raise InvalidArgumentError(f"there are {names.count(column)} columns {column!r}")
    return table[column]


def _sequence_of(texts: Mapping[str, Any], column: str) -> Any:
    values = _column_of(texts, column, list(texts))
    if isinstance(values, Mapping):
        raise InvalidArgumentError(f"column {column!r} is a {type(values).__name__}, not a sequence of str")
    return values


def _arrow_of(texts: Any, column: str) -> list[Any] | None:
    """The chunks of an Arrow array or column, or None when `texts` is something else."""
    pyarrow = sys.modules.get("pyarrow")
    if pyarrow is None:
        return None
    datasets = sys.modules.get("datasets")
    if datasets is not None and isinstance(texts, datasets.Dataset):
        if column not in texts.column_names:
            _column_of(texts, column, texts.column_names)
        if texts._indices is not None:  # filtered or shuffled: its table is in another order
            texts = texts.select_columns([column]).with_format("arrow")[:]
        else:
            texts = texts.data.table
    if isinstance(texts, (pyarrow.Table, pyarrow.RecordBatch)):
        texts = _column_of(texts, column, texts.schema.names)
    if isinstance(texts, pyarrow.ChunkedArray):
        return list(texts.chunks)
    return [texts] if isinstance(texts, pyarrow.Array) else None


def _from_arrow(chunks: list[Any]) -> core.Texts:
    import pyarrow as pa

    strings = {pa.string(), pa.large_string()}
    views = {pa.string_view(), pa.null()}
    arrays = []
    for chunk in chunks:
        of = chunk.type.value_type if pa.types.is_dictionary(chunk.type) else chunk.type
        if of in views or (of in strings and of != chunk.type):
            chunk = chunk.cast(pa.large_string())
        if chunk.type not in strings:
            raise InvalidArgumentError(f"texts are of Arrow type {chunk.type}, not string or large_string")
        arrays.append(chunk)
    return texts_of_arrays(arrays)
