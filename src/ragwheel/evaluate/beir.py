"""Evaluation sets in BEIR's layout: ``corpus.jsonl``, ``queries.jsonl`` and tables of qrels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragwheel.errors import DatasetError
from ragwheel.evaluate.collection import Collection, check_leaks
from ragwheel.judgments.relevance import level_lines, passage, qrels_tables, text_rows
from ragwheel.labels.traces.text import normalise

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
    corpus = {document_id: passage(row) for document_id, row in _lines(folder / "corpus.jsonl").items()}
    rows = _lines(folder / "queries.jsonl")
    texts = {query_id: passage({**row, "title": None}) for query_id, row in rows.items()}
    tables = qrels_tables(folder)
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
        seen = frozenset(
            document_id for grades in past.values() for document_id, grade in grades.items() if grade >= 1
        )
    facts = {
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
        notes=tuple(f"{n} {what}" for what, n in facts.items() if n),
    )


def _lines(path: Path) -> dict[str, dict[str, Any]]:
    """The objects of a JSON lines file by their id."""
    rows: dict[str, dict[str, Any]] = {}

    def refuse(number: int, reason: str) -> None:
        raise DatasetError(f"{path}, line {number}: {reason}. Expected one JSON object with _id a line.")

    try:
        for number, name, row in text_rows(path, refuse):
            if name in rows:
                raise DatasetError(
                    f"{path}, line {number}: the id {name!r} is there a second time; ids must be unique."
                )
            rows[name] = row
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}. {_LAYOUT}") from exc
    return rows


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    try:
        for line in level_lines(path):
            if line.level is None:
                raise DatasetError(f"{path}, line {line.line}: no query, document and grade. {_LAYOUT}")
            grade = round(line.level)
            previous = qrels.setdefault(line.query, {}).setdefault(line.document, grade)
            if previous != grade:
                raise DatasetError(
                    f"{path}, line {line.line}: {line.document!r} has the grades {previous} and {grade} "
                    f"for the query {line.query!r}."
                )
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}. {_LAYOUT}") from exc
    if not qrels:
        raise DatasetError(f"{path} has no judgments. {_LAYOUT}")
    return qrels
