"""Arrays, data frames and tables: numpy, pandas, polars, pyarrow, DuckDB, Hugging Face datasets, LanceDB."""

from __future__ import annotations

from typing import Any, Final

from ragwheel.host.certainty import ITERATOR, Unreadable
from ragwheel.host.clients.excerpt import Excerpt, Opener

__all__ = ["OPENERS"]

_MAX_NUMBERS: Final = 100_000


def _numpy(value: Any, limit: int) -> Any:
    """An array of one or two dimensions as lists; records of a structured array as dicts."""
    shape = getattr(value, "shape", None)
    if not hasattr(value, "tolist") or not shape or len(shape) > 2:
        return value
    total = shape[0]
    if len(shape) == 2 and shape[0] * shape[1] > _MAX_NUMBERS:
        return value
    rows = value if total <= _MAX_NUMBERS else value[:limit]
    names = value.dtype.names
    if names:
        return Excerpt([dict(zip(names, row)) for row in value[:limit].tolist()], total)
    return Excerpt(rows.tolist(), total)


def _pandas(value: Any, limit: int) -> Any:
    """Rows of a frame; the index is their id where it is made of strings and no column is called ``id``."""
    name = type(value).__name__
    if name == "DataFrame":
        head = value.head(limit)
        rows = head.to_dict("records")
        keys = list(head.index)
        if "id" not in head.columns and all(type(key) is str for key in keys):
            rows = [{"id": key, **row} for key, row in zip(keys, rows)]
        return Excerpt(rows, len(value))
    if name == "Series":
        head = value.head(limit)
        keys = list(head.index)
        if keys and all(type(key) is str for key in keys):
            return dict(zip(keys, head.tolist()))
        return Excerpt(head.tolist(), len(value))
    return value


def _polars(value: Any, limit: int) -> Any:
    name = type(value).__name__
    if name == "LazyFrame":
        raise Unreadable(ITERATOR)
    if name == "DataFrame":
        return Excerpt(value.head(limit).to_dicts(), value.height)
    return Excerpt(value.head(limit).to_list(), len(value)) if name == "Series" else value


def _pyarrow(value: Any, limit: int) -> Any:
    if hasattr(value, "read_next_batch") or (hasattr(value, "to_reader") and not hasattr(value, "num_rows")):
        raise Unreadable(ITERATOR)
    if hasattr(value, "num_rows") and hasattr(value, "slice"):
        return Excerpt(value.slice(0, limit).to_pylist(), value.num_rows)
    if hasattr(value, "to_pylist") and hasattr(value, "slice"):
        return Excerpt(value.slice(0, limit).to_pylist(), len(value))
    return value.as_py() if hasattr(value, "as_py") else value


def _lazy(value: Any, _limit: int) -> Any:
    """A relation or query that is run when it is read."""
    if any(hasattr(type(value), name) for name in ("fetchall", "to_list", "to_arrow")):
        raise Unreadable(ITERATOR)
    return value


def _datasets(value: Any, limit: int) -> Any:
    """The first rows of a dataset in memory or on disk; a streamed one is read only once."""
    if type(value).__name__ != "Dataset":
        if hasattr(type(value), "take") and not hasattr(type(value), "__getitem__"):
            raise Unreadable(ITERATOR)
        return value
    columns = value[:limit]
    return Excerpt([dict(zip(columns, row)) for row in zip(*columns.values())], len(value))


OPENERS: Final[dict[str, Opener]] = {
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "duckdb": _lazy,
    "_duckdb": _lazy,
    "lancedb": _lazy,
    "datasets": _datasets,
}
