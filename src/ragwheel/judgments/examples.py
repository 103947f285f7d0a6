"""Evaluation sets as their makers write them: BEIR, TREC, CSV, Ragas, DeepEval, question-chunk pairs.

Each reader gives :class:`Example` rows; rows that lack something are counted, other files are an error.

======== ===================================================================================================
format   what is read
======== ===================================================================================================
beir     a folder with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/*.tsv`` or ``qrels.*.tsv`` (Thakur et
         al., BEIR, 2021)
trec     a qrels file (``qid 0 docid rel``); beside it ``queries.tsv|jsonl``, perhaps ``corpus.tsv|jsonl``
csv      columns ``query``, ``chunk_id`` and/or ``text``, ``grade`` (0-5; 5 when there is no such column)
ragas    ``user_input`` and ``reference_contexts`` (the Ragas test set, as JSON, JSON lines or CSV)
deepeval ``input`` and ``context`` or ``retrieval_context`` (DeepEval goldens, JSON, JSON lines or CSV)
pairs    ``queries, corpus, relevant_docs`` (LlamaIndex ``EmbeddingQAFinetuneDataset``), or JSON lines with a
         question and a chunk
======== ===================================================================================================
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import JudgmentError

__all__ = ["FORMATS", "EvalFormat", "EvalSet", "Example", "read_evalset"]

EvalFormat = Literal["beir", "trec", "csv", "ragas", "deepeval", "pairs"]
_QUESTION: Final = ("query", "question", "user_input", "input", "anchor", "sentence1")
_PASSAGE: Final = ("text", "chunk", "context", "document", "positive", "passage", "sentence2")
_ID: Final = ("_id", "id", "docid", "doc_id", "query_id", "qid")


@dataclass(frozen=True, slots=True)
class Example:
    """A graded chunk of an evaluation set: named by an id, given by its text, or both."""

    query: str
    doc_id: str | None
    text: str | None
    grade: float


@dataclass
class EvalSet:
    """What was read; ``synthetic``: a model wrote the questions. ``refused`` counts rows by reason."""

    format: EvalFormat
    synthetic: bool
    examples: list[Example] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def read_evalset(path: str | Path, format: EvalFormat | None = None) -> EvalSet:  # noqa: A002 - as in the CLI
    """Read an evaluation set; the format is found out where it is not given.

    Relevance levels of qrels are scaled so that the highest of the set is grade 5; levels below 0 are 0.

    Raises:
        JudgmentError: nothing of a known format is there, or the file is damaged as a whole.
    """
    path = Path(path)
    if not path.exists():
        raise JudgmentError(f"There is no {path}. Expected a file or folder of an evaluation set.")
    if format is not None and format not in FORMATS:
        raise JudgmentError(f"There is no format {format!r}; allowed: {', '.join(FORMATS)}.")
    try:
        name = format or _guess(path)
        found = FORMATS[name](path)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, AttributeError, TypeError) as exc:
        raise JudgmentError(
            f"{path} cannot be read as {format or 'an evaluation set'}: {type(exc).__name__}: {exc}. "
            f"Name the format: ragwheel import --evalset {path} --format {'|'.join(FORMATS)}"
        ) from exc
    found.examples = [one for one in found.examples if _usable(one, found.refused)]
    if not found.examples:
        told = "; ".join(f"{reason}: {n}" for reason, n in sorted(found.refused.items()))
        raise JudgmentError(f"{path} ({name}) has no usable example ({told or 'it is empty'}).")
    return found


def _usable(one: Example, refused: Counter[str]) -> bool:
    if not one.query.strip():
        refused["blank question"] += 1
    elif one.doc_id is None and not (one.text or "").strip():
        refused["neither chunk id nor text"] += 1
    elif not 0 <= one.grade <= 5:
        refused["grade out of range (0-5)"] += 1
    else:
        return True
    return False


def _guess(path: Path) -> EvalFormat:
    if path.is_dir():
        return "beir" if _tables(path) else "trec"
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            columns: Iterable[str] = next(csv.reader(file), [])
    elif path.suffix in (".json", ".jsonl"):
        columns = next(iter(_records(path, Counter())), {})
    else:
        return "trec"
    columns = set(columns)
    if "user_input" in columns:
        return "ragas"
    if "input" in columns:
        return "deepeval"
    return "csv" if path.suffix == ".csv" else "pairs"


# --- relevance judgments: BEIR and TREC ---


def _beir(folder: Path) -> EvalSet:
    found = EvalSet("beir", synthetic=False)
    levels: list[tuple[str, str, float]] = []
    for path in _tables(folder):
        levels += _levels(path, (0, 1, 2), found.refused)
    return _with_texts(found, levels, folder / "queries.jsonl", folder / "corpus.jsonl")


def _tables(folder: Path) -> list[Path]:
    """BEIR's tables of qrels: ``qrels/SPLIT.tsv``, else ``qrels*.tsv`` with three columns."""
    beside = (path for path in sorted(folder.glob("qrels*.tsv")) if _width(path) == 3)
    return sorted((folder / "qrels").glob("*.tsv")) or list(beside)


def _width(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return len(file.readline().split())


def _trec(path: Path) -> EvalSet:
    folder = path if path.is_dir() else path.parent
    files = sorted(folder.glob("*qrels*")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{folder} has neither qrels/ (BEIR) nor a file with qrels in its name (TREC)")
    found = EvalSet("trec", synthetic=False)
    levels = [level for file in files for level in _levels(file, (0, 2, 3), found.refused)]
    queries = _beside(folder, "queries", "topics")
    if queries is None:
        raise ValueError(
            f"{folder} has no queries.tsv or queries.jsonl: qrels alone do not say what was asked"
        )
    return _with_texts(found, levels, queries, _beside(folder, "corpus", "collection", "docs"))


def _beside(folder: Path, *names: str) -> Path | None:
    paths = (folder / f"{name}.{ending}" for name in names for ending in ("tsv", "jsonl"))
    return next((path for path in paths if path.is_file()), None)


def _levels(path: Path, places: tuple[int, int, int], refused: Counter[str]) -> list[tuple[str, str, float]]:
    """(query id, document id, relevance) of a qrels file, whose cells are split by tabs or blanks."""
    found = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            cells = line.split()
            if not cells or (number == 0 and not _is_number(cells[-1])):
                continue  # a head
            if len(cells) != places[2] + 1 or not _is_number(cells[-1]):
                refused["unreadable line of qrels"] += 1
                continue
            query_id, doc_id, level = (cells[place] for place in places)
            found.append((query_id, doc_id, float(level)))
    return found


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdigit()


def _with_texts(
    found: EvalSet, levels: list[tuple[str, str, float]], queries: Path, corpus: Path | None
) -> EvalSet:
    questions = _texts(queries, {query for query, _, _ in levels}, found.refused)
    texts = _texts(corpus, {doc for _, doc, _ in levels}, found.refused) if corpus else {}
    highest = max((level for *_, level in levels), default=0.0)
    for query, doc, level in levels:
        if query not in questions:
            found.refused["question without text"] += 1
            continue
        if corpus is not None and doc not in texts:
            found.refused["chunk not in the corpus file"] += 1
            continue
        grade = 5 * max(level, 0) / highest if highest > 0 else 0.0
        found.examples.append(Example(questions[query], doc, texts.get(doc), round(grade, 3)))
    return found


def _texts(path: Path, wanted: set[str], refused: Counter[str]) -> dict[str, str]:
    """The texts of the wanted ids, from JSON lines or ``id <tab> text``; read line by line."""
    if path.suffix == ".jsonl":
        rows = ((_first(row, _ID), _passage(row)) for row in _records(path, refused))
        return {name: text for name, text in rows if name in wanted}
    with path.open(encoding="utf-8") as file:
        cells = (line.rstrip("\n").partition("\t") for line in file)
        return {name: text for name, _, text in cells if name in wanted}


def _passage(row: Mapping[str, Any]) -> str:
    """Title and text as one, as BEIR's evaluation joins them."""
    return f"{row.get('title') or ''} {_first(row, _PASSAGE) or ''}".strip()


# --- tables and goldens ---


def _csv(path: Path) -> EvalSet:
    found = EvalSet("csv", synthetic=False)
    rows = _records(path, found.refused)
    for number, row in enumerate(rows):
        if number == 0 and not ("query" in row and {"chunk_id", "text"} & row.keys()):
            raise ValueError(
                f"the columns are {', '.join(map(str, row))}; expected query, chunk_id and/or text, and grade"
            )
        grade = row.get("grade", "5")
        if not _is_number(str(grade)):
            found.refused["grade that is no number"] += 1
            continue
        found.examples.append(
            Example(row["query"] or "", row.get("chunk_id") or None, row.get("text") or None, float(grade))
        )
    return found


def _goldens(name: EvalFormat, question: str, contexts: tuple[str, ...]) -> Callable[[Path], EvalSet]:
    """A reader of question-and-contexts rows; the contexts are what the question should be answered from."""

    def read(path: Path) -> EvalSet:
        found = EvalSet(name, synthetic=True)
        for row in _records(path, found.refused):
            texts = next((row[column] for column in contexts if row.get(column)), None)
            if isinstance(texts, str):
                texts = _as_list(texts)
            if not texts:
                found.refused["no context"] += 1
                continue
            asked = str(row.get(question) or "")
            found.examples += [Example(asked, None, str(text), 5.0) for text in texts]
        return found

    return read


def _as_list(text: str) -> list[str]:
    """A cell of a CSV file that holds a list: JSON, Python's way of writing one, or texts between bars."""
    import ast

    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(found, list):
            return [str(one) for one in found]
    return text.split("|")


def _pairs(path: Path) -> EvalSet:
    found = EvalSet("pairs", synthetic=True)
    for row in _records(path, found.refused):
        if {"queries", "corpus", "relevant_docs"} <= row.keys():
            for query_id, docs in row["relevant_docs"].items():
                asked = str(row["queries"].get(query_id) or "")
                found.examples += [Example(asked, doc, row["corpus"].get(doc), 5.0) for doc in docs]
            continue
        grade = row.get("grade", row.get("label", 5))
        if not isinstance(grade, (int, float)) or isinstance(grade, bool):
            found.refused["grade that is no number"] += 1
            continue
        named = str(_first(row, ("chunk_id", "doc_id", "docid")) or "") or None
        text = _first(row, _PASSAGE)
        found.examples.append(
            Example(
                str(_first(row, _QUESTION) or ""), named, None if text is None else str(text), float(grade)
            )
        )
    return found


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _records(path: Path, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    """The objects of a JSON file (one, or a list), of JSON lines, or the rows of a CSV file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)
    elif path.suffix == ".json":
        found = json.loads(path.read_text("utf-8-sig"))
        rows = found if isinstance(found, list) else [found]
        for row in rows:
            if isinstance(row, dict):
                yield row
            else:
                refused["record that is no object"] += 1
    else:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError:
                    refused["broken line of JSON"] += 1
                    continue
                if isinstance(row, dict):
                    yield row
                else:
                    refused["record that is no object"] += 1


FORMATS: Final[dict[EvalFormat, Callable[[Path], EvalSet]]] = {
    "beir": _beir,
    "trec": _trec,
    "csv": _csv,
    "ragas": _goldens("ragas", "user_input", ("reference_contexts", "retrieved_contexts")),
    "deepeval": _goldens("deepeval", "input", ("context", "retrieval_context")),
    "pairs": _pairs,
}
