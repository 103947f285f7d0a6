"""What the demo searches: passages, questions, and which passages truly answer which question.

A corpus comes from the running Python's own documentation (:mod:`ragwheel.demo.pydocs`) or from any
folder in the BEIR layout (:func:`read_beir`)::

    corpus.jsonl    {"_id": "4983", "title": "...", "text": "..."}     one passage a line
    queries.jsonl   {"_id": "1", "text": "..."}                        one question a line
    qrels.tsv       query-id <tab> corpus-id <tab> score               or qrels/*.tsv, or qrels.*.tsv
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragwheel.errors import DatasetError

__all__ = ["Corpus", "Passage", "Query", "read_beir"]

LAYOUT = "allowed: a folder with corpus.jsonl, queries.jsonl and qrels.tsv (or qrels/*.tsv)"


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage: what a retriever returns as a chunk."""

    id: str
    title: str
    text: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """One question, with the ids of the passages that answer it (the simulation's truth)."""

    id: str
    text: str
    relevant: frozenset[str]
    hint: str = ""
    """Words a person would add when the first attempt found nothing."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Passages and questions; every question has at least one relevant passage."""

    name: str
    passages: tuple[Passage, ...]
    queries: tuple[Query, ...]

    def truth(self) -> dict[str, frozenset[str]]:
        """Question text -> ids of its relevant passages, joined over questions with the same words."""
        relevant: dict[str, frozenset[str]] = {}
        for query in self.queries:
            relevant[query.text] = relevant.get(query.text, frozenset()) | query.relevant
        return relevant


def read_beir(folder: Path) -> Corpus:
    """Read a BEIR-layout folder; questions without a relevant passage are left out.

    Raises :class:`DatasetError` for a missing folder or file, a line that cannot be read (with its
    number), an empty corpus, and questions of which none has a relevant passage.
    """
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing"
        raise DatasetError(
            f"--data needs a folder; got {folder}, where there is {got}. {LAYOUT}. "
            "Next: ragwheel demo --data PATH, or leave --data out to use Python's own documentation"
        )
    passages = _passages(folder / "corpus.jsonl")
    qrels = _qrels(folder, passages=passages.keys())
    queries = tuple(
        Query(id, text, frozenset(qrels[id]), hint=_hint(passages, qrels[id]))
        for id, text in _query_texts(folder / "queries.jsonl")
        if qrels.get(id)
    )
    if not queries:
        raise DatasetError(
            f"{folder}: no question in queries.jsonl has a relevant passage (score > 0) in the qrels that is "
            "also in corpus.jsonl. The simulated visitors need to know what is relevant. "
            "Next: check that the ids of the three files agree"
        )
    return Corpus(folder.resolve().name, tuple(passages.values()), queries)


def _hint(passages: dict[str, Passage], relevant: set[str]) -> str:
    """The first words of the best passage's title: what a person tries when the first words failed."""
    title = passages[min(relevant)].title
    return " ".join(title.split()[:4])


def _passages(path: Path) -> dict[str, Passage]:
    passages: dict[str, Passage] = {}
    for number, row in _json_lines(path):
        id, text = _text_field(row, "_id", path, number), _text_field(row, "text", path, number)
        title = row.get("title")
        if text.strip():
            passages[id] = Passage(id, title if isinstance(title, str) else "", text)
    if not passages:
        raise DatasetError(
            f"{path} holds no passage with text; got an empty corpus. {LAYOUT}. Next: ragwheel demo"
        )
    return passages


def _query_texts(path: Path) -> Iterator[tuple[str, str]]:
    for number, row in _json_lines(path):
        yield _text_field(row, "_id", path, number), _text_field(row, "text", path, number)


def _text_field(row: dict[str, Any], name: str, path: Path, number: int) -> str:
    value = row.get(name)
    if isinstance(value, int) and name == "_id":
        return str(value)
    if isinstance(value, str):
        return value
    got = "no such field" if name not in row else f"{type(value).__name__} {str(value)[:40]}"
    raise DatasetError(
        f'{path}, line {number}: the field "{name}" must be a string; got {got}. '
        f"Next: sed -n {number}p {path}"
    )


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DatasetError(
                f"{path}, line {number}: not JSON ({error}); got {line[:60]!r}. "
                f"Allowed: one JSON object a line. Next: sed -n {number}p {path}"
            ) from None
        if not isinstance(row, dict):
            raise DatasetError(
                f"{path}, line {number}: got {type(row).__name__}; allowed: one JSON object a line. "
                f"Next: sed -n {number}p {path}"
            )
        yield number, row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank; the file is read as UTF-8."""
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.iterdir())[:8]
        raise DatasetError(
            f"{path} is missing; the folder holds: {', '.join(beside) or 'nothing'}. {LAYOUT}. "
            f"Next: ls {path.parent}"
        )
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start}). "
                    f"Next: iconv -t UTF-8 {path}"
                ) from None
            if line:
                yield number, line


def _qrels_files(folder: Path) -> list[Path]:
    whole = folder / "qrels.tsv"
    if whole.is_file():
        return [whole]
    tables = sorted((folder / "qrels").glob("*.tsv")) or sorted(folder.glob("qrels.*.tsv"))
    return tables or [whole]  # the missing whole file gives the message


def _qrels(folder: Path, passages: Any) -> dict[str, set[str]]:
    """Query id -> ids of its relevant passages (score > 0) that the corpus holds."""
    relevant: dict[str, set[str]] = {}
    for path in _qrels_files(folder):
        for number, line in _lines(path):
            fields = line.split("\t")
            if number == 1 and not _is_number(fields[-1]):
                continue  # the header
            if len(fields) not in (3, 4) or not _is_number(fields[-1]):
                raise DatasetError(
                    f"{path}, line {number}: got {line[:60]!r}; allowed: query-id, corpus-id and score "
                    f"(a number), separated by tabs. Next: sed -n {number}p {path}"
                )
            query_id, passage_id = fields[0], fields[-2]
            if float(fields[-1]) > 0 and passage_id in passages:
                relevant.setdefault(query_id, set()).add(passage_id)
    return relevant


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
