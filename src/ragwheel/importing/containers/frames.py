"""Data frames that pandas wrote as JSON by columns, which is the default of ``DataFrame.to_json()``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["frame_rows", "is_frame"]


def is_frame(record: dict[str, Any]) -> bool:
    """Return whether an object is a data frame: a mapping for each column, or split into lists."""
    return _is_split(record) or _is_table(record) or _is_columnar(record)


def frame_rows(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a data frame; cells without a value are left out."""
    if _is_split(record):
        columns = [str(name) for name in record["columns"]]
        for row in record["data"]:
            yield {name: cell for name, cell in zip(columns, row) if cell is not None}
        return
    if _is_table(record):
        yield from ({k: v for k, v in row.items() if v is not None} for row in record["data"])
        return
    for label in next(iter(record.values())):
        yield {name: column[label] for name, column in record.items() if column[label] is not None}


def _is_split(record: dict[str, Any]) -> bool:
    columns, data = record.get("columns"), record.get("data")
    return (
        isinstance(columns, list)
        and isinstance(data, list)
        and all(isinstance(row, list) and len(row) == len(columns) for row in data)
    )


def _is_table(record: dict[str, Any]) -> bool:
    schema, data = record.get("schema"), record.get("data")
    return (
        isinstance(schema, dict)
        and "fields" in schema
        and isinstance(data, list)
        and all(isinstance(row, dict) for row in data)
    )


def _is_columnar(record: dict[str, Any]) -> bool:
    """Return whether there are at least two columns, all of them mappings with the same row labels."""
    columns = list(record.values())
    if len(columns) < 2 or not all(isinstance(column, dict) and column for column in columns):
        return False
    labels = columns[0].keys()
    return all(column.keys() == labels for column in columns)
