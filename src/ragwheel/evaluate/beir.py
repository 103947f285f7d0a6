"""Evaluation sets in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl`` and tables of qrels."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragwheel.errors import DatasetError
from ragwheel.evaluate.collection import Collection, check_leaks
from ragwheel.labels.text import normalise

__all__ = ["read_beir"]

_LAYOUT = (
    "Expected a folder with corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels "
    "(query-id, corpus-id, score; tab-separated) as qrels/SPLIT.tsv, qrels.SPLIT.tsv or qrels.tsv."
)


def read_beir(folder: str | Path, *, split: str = "test", train: str | Path | None = None) -> Collection:
    """Read a collection in BEIR's layout (Thakur et al. 2021).

    A ``group`` or ``session`` in a line of ``queries.jsonl`` names the query's cluster.

    Args:
        folder: see the error that a wrong one gives.
        split: which qrels; a plain ``qrels.tsv`` serves where there is no table of that split.
        train: a table of the qrels that were trained on, for the slices *seen* and *unseen*; None: that of
            the split ``train`` where there is one.

    Raises:
        DatasetError: a file is missing or cannot be read, an id is there twice, ids do not match.
        LeakError: a test query is in ``train`` too.
    """
    folder = Path(folder)
    corpus = {one: _text(row) for one, row in _lines(folder / "corpus.jsonl").items()}
    rows = _lines(folder / "queries.jsonl")
    texts = {one: str(row.get("text", "")) for one, row in rows.items()}
    tables = _tables(folder)
    chosen = tables.get(split, tables.get(""))
    if chosen is None:
        raise DatasetError(
            f"{folder} has no qrels of the split {split!r}; it has: {', '.join(sorted(tables)) or 'none'}. "
            f"{_LAYOUT}"
        )
    qrels = _qrels(chosen)
    usable = {query: grades for query, grades in qrels.items() if max(grades.values()) >= 1}
    trained = Path(train) if train is not None else tables.get("train") if split != "train" else None
    seen, again = None, 0
    if trained is not None and trained != chosen:
        past = _qrels(trained)
        tested = {query: texts[query] for query in usable if query in texts}
        check_leaks(past, tested, str(folder))
        words = {normalise(texts[query]) for query in past if query in texts}
        again = sum(normalise(text) in words for text in tested.values())
        seen = frozenset(one for grades in past.values() for one, grade in grades.items() if grade >= 1)
    told = {
        "queries without a relevant document are left out": len(qrels) - len(usable),
        "test queries stand word for word in train, under other ids": again,
    }
    return Collection(
        name=folder.name,
        corpus=corpus,
        queries=texts,
        qrels={"evalset": usable},
        clusters={
            query: str(row.get("group") or row["session"])
            for query, row in rows.items()
            if row.get("group") or row.get("session")
        },
        seen=seen,
        notes=tuple(f"{n} {what}" for what, n in told.items() if n),
    )


def _text(row: Mapping[str, Any]) -> str:
    title, text = str(row.get("title") or ""), str(row.get("text") or "")
    return f"{title} {text}".strip()


def _tables(folder: Path) -> dict[str, Path]:
    """The qrels by split; the empty name stands for a table of no split."""
    found = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    found |= {path.name[6:-4]: path for path in sorted(folder.glob("qrels.*.tsv"))}
    if (folder / "qrels.tsv").is_file():
        found[""] = folder / "qrels.tsv"
    return found


def _lines(path: Path) -> dict[str, dict[str, Any]]:
    """The objects of a JSON lines file by their ``_id``."""
    found: dict[str, dict[str, Any]] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                name = str(row["_id"])
                if name in found:
                    raise DatasetError(
                        f"{path}, line {number}: the id {name!r} is there a second time; ids must be unique."
                    )
                found[name] = row
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}. {_LAYOUT}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise DatasetError(
            f"{path}, line {len(found) + 1}: {type(exc).__name__} {exc}. Expected one JSON object with _id a "
            f"line."
        ) from exc
    return found


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file, delimiter="\t"), 1):
                if not row or (number == 1 and not row[-1].lstrip("-").isdigit()):
                    continue  # the head
                # TREC's own tables have a column more, always 0, after the query
                query, document, grade = (row[0], row[-2], int(row[-1]))
                if document in found.setdefault(query, {}) and found[query][document] != grade:
                    raise DatasetError(
                        f"{path}, line {number}: {document!r} has the grades {found[query][document]} and "
                        f"{grade} for the query {query!r}."
                    )
                found[query][document] = grade
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}. {_LAYOUT}") from exc
    except (ValueError, IndexError) as exc:
        raise DatasetError(f"{path}: {exc}. {_LAYOUT}") from exc
    if not found:
        raise DatasetError(f"{path} has no judgments. {_LAYOUT}")
    return found
