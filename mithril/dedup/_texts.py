"""Whatever holds texts in memory → texts for the native core, without a copy where the memory allows it.

Nothing is imported for this: an Arrow array, a pandas Series or a dataset is told by what it offers.
"""

import sys
from collections.abc import Iterable
from typing import Any

from mithril._errors import InvalidArgumentError
from mithril._native import core

__all__ = ["texts_of"]


def texts_of(texts: Any, column: str = "text") -> core.Texts:
    """Return `texts` as the core reads them.

    Args:
        texts: A list, tuple or other sequence of str, a NumPy array of str or objects, an Arrow string array (chunked
            or not), a pandas Series; or a record batch, table, DataFrame or `datasets.Dataset`, of which `column` is
            taken. None and null are empty texts. Arrow strings, Datasets included, and ASCII `str` are read where
            they lie.
        column: The column of texts where there are several.

    Raises:
        InvalidArgumentError: A text is not a str, or there is no such column.
    """
    if isinstance(texts, core.Texts):
        return texts
    if isinstance(texts, (str, bytes)):
        raise InvalidArgumentError(f"texts is one {type(texts).__name__}, not a sequence of them")
    if isinstance(texts, (list, tuple)):
        return core.texts_from_list(texts)
    if arrow := _arrow_of(texts, column):
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
    if isinstance(texts, Iterable):
        return core.texts_from_list(list(texts))
    raise InvalidArgumentError(f"texts is a {type(texts).__name__}, not a sequence of str")


def _column_of(table: Any, column: str, names: list[str]) -> Any:
    if column not in names:
        raise InvalidArgumentError(f"there is no column {column!r}; there are {', '.join(map(repr, names))}")
    return table[column]


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

    wide = {pa.string(): False, pa.large_string(): True, pa.utf8(): False}
    described = []
    for chunk in chunks:
        if pa.types.is_dictionary(chunk.type) or pa.types.is_null(chunk.type) or chunk.type == pa.string_view():
            chunk = chunk.cast(pa.large_string())
        if chunk.type not in wide:
            raise InvalidArgumentError(f"texts are of Arrow type {chunk.type}, not string or large_string")
        validity, offsets, data = chunk.buffers()
        if offsets is None:  # an array of no rows may have none
            continue
        described.append(
            (offsets, data, validity if chunk.null_count else None, chunk.offset, len(chunk), wide[chunk.type])
        )
    return core.texts_from_arrow(described)
