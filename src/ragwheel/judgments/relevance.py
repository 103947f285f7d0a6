"""Reading qrels, questions and passages of BEIR and TREC, for ``ragwheel import --evalset`` and ``evaluate``.

Ids are always texts, even if a file has numbers. A byte order mark is not part of an id. Cells are split at
tabs, else at blanks. A level may be ``1.0``. A null text is blank.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["ID_KEYS", "Level", "level_lines", "passage", "qrels_tables", "questions_beside", "text_rows"]

ID_KEYS: Final = ("_id", "id", "docid", "doc_id", "query_id", "qid")


class Level(NamedTuple):
    """A line of qrels; ``level`` is None if the line cannot be read."""

    line: int
    query: str
    document: str
    level: float | None


def level_lines(path: Path) -> Iterator[Level]:
    """Yield query, document and level of each line of qrels, with or without TREC's column of zeros."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            cells = [
                cell.strip() for cell in (line.rstrip("\r\n").split("\t") if "\t" in line else line.split())
            ]
            if not any(cells):
                continue
            level = _number(cells[-1])
            if level is None and number == 1:
                continue  # the head
            if len(cells) not in {3, 4} or level is None:
                yield Level(number, "", "", None)
            else:
                yield Level(number, cells[0], cells[-2], level)


def _number(text: str) -> float | None:
    try:
        level = float(text)
    except ValueError:
        return None
    return level if math.isfinite(level) else None


def text_rows(path: Path, refuse: Callable[[int, str], None]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield (line, id, row) of JSON lines, or of lines with an id, a tab and a text.

    ``refuse`` is called with the line and the reason where one cannot be read.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            if path.suffix != ".jsonl":
                name, _, text = line.rstrip("\r\n").partition("\t")
                yield number, name.strip(), {"text": text}
                continue
            try:
                row = json.loads(line)
            except ValueError:
                refuse(number, "broken line of JSON")
                continue
            app_id = _id(row)
            if app_id is None:
                refuse(number, "record without an id")
            else:
                yield number, app_id, row


def _id(row: Any) -> str | None:
    if not isinstance(row, dict):
        return None
    value = next((row[key] for key in ID_KEYS if row.get(key) is not None), None)
    return None if value is None else str(value)


def passage(row: Mapping[str, Any]) -> str:
    """Return title and text joined as in BEIR's evaluation; null is blank."""
    text = next(
        (row[key] for key in ("text", "contents", "content", "passage") if row.get(key) is not None), ""
    )
    return f"{row.get('title') or ''} {text}".strip()


def qrels_tables(folder: Path) -> dict[str, Path]:
    """Return the tables of qrels in a folder by split; a table without a split has an empty name.

    The names are ``qrels/SPLIT.tsv`` (BEIR), ``qrels.SPLIT.tsv``, ``SPLIT.qrels`` (our TREC export) and
    ``qrels.tsv``.
    """
    tables = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    tables |= {path.name[6:-4]: path for path in sorted(folder.glob("qrels.*.tsv"))}
    tables |= {path.stem: path for path in sorted(folder.glob("*.qrels"))}
    if (folder / "qrels.tsv").is_file():
        tables[""] = folder / "qrels.tsv"
    return tables


def questions_beside(path: Path, *names: str) -> Path | None:
    """Return the file of questions (or passages) for a table of qrels, preferably with its name."""
    own = path.name.removesuffix(".qrels").removesuffix(".tsv")
    candidates = [f"{own}.{name}" for name in names] + list(names)
    paths = (path.parent / f"{name}.{ending}" for name in candidates for ending in ("tsv", "jsonl"))
    return next((path for path in paths if path.is_file()), None)
