"""Parts of a dataset card: the size category, an example row, and what kinds of evidence mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from ragwheel.datasets.parts import part_files

__all__ = ["evidence_rows", "example_row", "renewed", "size_category"]

_MAX_CHARS: Final = 300
_SIZES: Final = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_MEANINGS: Final = {
    "cited": "the answer cited the chunk",
    "prompted_not_cited": "the chunk was in the prompt and the answer did not cite it",
    "click": "a person opened the chunk",
    "copy": "a person copied text from the chunk",
    "expand": "a person opened the chunk's whole text",
    "bookmark": "a person kept the chunk",
    "more_like_this": "a person asked for more like the chunk",
    "passed_over": "the chunk was shown and left alone",
    "dwell": "a person looked at the chunk for long",
    "bounce": "a person opened the chunk and left it at once",
    "thumbs_up": "a person found the chunk helpful",
    "thumbs_down": "a person found the chunk not helpful",
    "rating_high": "a person rated the chunk 4 or 5",
    "rating_low": "a person rated the chunk 0 or 1",
    "prefer_winner": "a person preferred the chunk to another one",
    "prefer_loser": "a person preferred another chunk to this one",
    "delete": "a person removed the chunk from the results",
    "reformulated": "the chunk was used after the question had been asked differently",
    "pre_reformulation": "the chunk was shown, and the question was asked differently",
    "judged_llm": "an LLM graded the chunk",
    "judged_human": "a person graded the chunk",
}
_SIZE: Final = re.compile(r"^size_categories:\n- .*\n", re.MULTILINE)
_EXAMPLE: Final = re.compile(
    r"^<!-- example row -->\n.*?^<!-- end of the example row -->\n", re.MULTILINE | re.DOTALL
)


def size_category(rows: Mapping[str, Mapping[str, int]]) -> str:
    """Return the part of the card's head that says how many rows there are, as dataset hubs put it."""
    n = sum(sum(counts.values()) for counts in rows.values())
    return f"size_categories:\n- {next((name for limit, name in _SIZES if n < limit), '1M<n<10M')}\n"


def example_row(folder: Path, config: str) -> str:
    """Return the first row of a config as JSON, long texts cut, between marks that :func:`renewed` finds."""
    tables = sorted((folder / config).glob("*.parquet"))
    row = next((row for path in tables for part in part_files(path) for row in _first(part)), None)
    text = (
        "There is no row."
        if row is None
        else f"```json\n{json.dumps(row, indent=2, ensure_ascii=False)}\n```"
    )
    return f"<!-- example row -->\n{text}\n<!-- end of the example row -->\n"


def renewed(card: str, folder: Path, config: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    """Return a card with the size and the example row of a folder whose rows have changed."""
    card = _SIZE.sub(lambda _: size_category(rows), card, count=1)
    return _EXAMPLE.sub(lambda _: example_row(folder, config), card, count=1)


def evidence_rows(counts: Mapping[str, int]) -> dict[str, str]:
    """Return for each kind of evidence how often it is there and what it means."""
    return {kind: f"{n} | {_MEANINGS.get(kind, 'a kind of the app')}" for kind, n in counts.items()}


def _first(path: Path) -> list[dict[str, object]]:
    batch = next(pq.ParquetFile(path).iter_batches(batch_size=1), None)
    return (
        []
        if batch is None
        else [{name: _cut(value) for name, value in row.items()} for row in batch.to_pylist()]
    )


def _cut(value: object) -> object:
    if isinstance(value, str):
        return value if len(value) <= _MAX_CHARS else value[: _MAX_CHARS - 1] + "…"
    if isinstance(value, list):
        return [_cut(each) for each in value[:3]]
    return value if isinstance(value, (int, float, bool)) or value is None else str(value)
