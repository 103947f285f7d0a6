"""Training rows that people struck out, as a build reads them from a database or from exported traces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ragwheel.errors import DatasetError
from ragwheel.labels.traces.text import query_key
from ragwheel.store.reviews import ReviewRow

__all__ = ["StruckRow", "struck_in", "struck_rows", "struck_to_json"]


@dataclass(frozen=True)
class StruckRow:
    """A triplet that a person struck out; ``value`` says what is wrong: row, positive or negative.

    The question is named by its query group, so that an export carries no text of a person.
    """

    query_key: str
    source: str
    chunk: str
    other_source: str
    other: str
    value: str | None


def struck_rows(reviews: Iterable[ReviewRow]) -> list[StruckRow]:
    """Return the rows that reviews of the kind ``strike`` name."""
    return [
        StruckRow(query_key(row.query), row.source, row.chunk, row.other_source, row.other, row.value)
        for row in reviews
    ]


def struck_to_json(rows: Iterable[StruckRow]) -> list[dict[str, Any]]:
    """Return the rows for the manifest of an export."""
    return [asdict(row) for row in rows]


def struck_in(manifest: Mapping[str, Any]) -> list[StruckRow]:
    """Return the rows that an export's manifest names; none in one of an earlier version.

    Raises:
        DatasetError: the manifest is damaged.
    """
    try:
        return [StruckRow(**row) for row in manifest.get("struck", ())]
    except TypeError as exc:
        raise DatasetError(
            f"The rows that people struck out cannot be read from the export: {exc}. Export again into a new "
            f"folder: ragwheel export traces --out DEST"
        ) from exc
