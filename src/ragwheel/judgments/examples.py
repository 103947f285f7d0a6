"""Readers of evaluation sets: BEIR, TREC, CSV, Ragas, DeepEval, question-chunk pairs.

Each reader returns :class:`GradedPassage` rows. Incomplete rows are counted; a file of another format is an
error.

======== ===================================================================================================
format   what is read
======== ===================================================================================================
beir     a folder with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/*.tsv`` or ``qrels.*.tsv`` (Thakur et
         al., BEIR, 2021)
trec     a qrels file (``qid 0 docid rel``); beside it ``queries.tsv|jsonl``, perhaps ``corpus.tsv|jsonl``
csv      columns ``query``, ``chunk_id`` and/or ``text``, ``grade`` (0-5; 5 when there is no such column)
ragas    ``user_input`` and ``reference_contexts`` (the Ragas test set, as JSON, JSON lines or CSV)
deepeval ``input`` and ``context`` (DeepEval goldens, JSON, JSON lines or CSV)
pairs    ``queries, corpus, relevant_docs`` (LlamaIndex ``EmbeddingQAFinetuneDataset``), or JSON lines with a
         question and a chunk
======== ===================================================================================================
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import JudgmentError
from ragwheel.judgments.relevance import level_lines, passage, qrels_tables, questions_beside, text_rows
from ragwheel.lenient import csv_rows, parse_loosely

__all__ = ["FORMATS", "EvalFormat", "EvalSet", "GradedPassage", "read_evalset"]

EvalFormat = Literal["beir", "trec", "csv", "ragas", "deepeval", "pairs"]
_QUESTION: Final = ("query", "question", "user_input", "input", "anchor", "sentence1")
_PASSAGE: Final = ("text", "chunk", "context", "document", "positive", "passage", "sentence2")


@dataclass(frozen=True, slots=True)
class GradedPassage:
    """A graded chunk of an evaluation set: named by an id, given by its text, or both."""

    query: str
    doc_id: str | None
    text: str | None
    grade: float


@dataclass
class EvalSet:
    """An evaluation set. ``synthetic``: a model wrote the questions. ``refused`` counts rows by reason.

    ``notes`` are conclusions from the rows, such as the scale of labels.
    """

    format: EvalFormat
    synthetic: bool
    examples: list[GradedPassage] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


Reader = Callable[[Path, "str | None"], EvalSet]
"""Reads a file or folder, or only one split of it."""


def read_evalset(
    path: str | Path,
    format: EvalFormat | None = None,  # noqa: A002 - as in the CLI
    *,
    split: str | None = None,
) -> EvalSet:
    """Read an evaluation set; by default the format is detected.

    ``split`` is the only table of qrels to read from a BEIR or TREC folder; None: all.

    Relevance levels of qrels are scaled so that the highest of the set is grade 5; levels below 0 are 0.

    Raises:
        JudgmentError: the format is unknown, or the whole file is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise JudgmentError(f"There is no {path}. Expected a file or folder of an evaluation set.")
    if format is not None and format not in FORMATS:
        raise JudgmentError(f"There is no format {format!r}; allowed: {', '.join(FORMATS)}.")
    try:
        name = format or _guess(path)
        evalset = FORMATS[name](path, split)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, AttributeError, TypeError) as exc:
        raise JudgmentError(
            f"{path} cannot be read as {format or 'an evaluation set'}: {type(exc).__name__}: {exc}. "
            f"Name the format: ragwheel import --evalset {path} --format {'|'.join(FORMATS)}"
        ) from exc
    evalset.examples = [example for example in evalset.examples if _usable(example, evalset.refused)]
    if not evalset.examples:
        text = "; ".join(f"{reason}: {n}" for reason, n in sorted(evalset.refused.items()))
        raise JudgmentError(f"{path} ({name}) has no usable example ({text or 'it is empty'}).")
    return evalset


def _usable(passage: GradedPassage, refused: Counter[str]) -> bool:
    if not passage.query.strip():
        refused["blank question"] += 1
    elif passage.doc_id is None and not (passage.text or "").strip():
        refused["neither chunk id nor text"] += 1
    elif not 0 <= passage.grade <= 5:
        refused["grade out of range (0-5)"] += 1
    else:
        return True
    return False


def _guess(path: Path) -> EvalFormat:
    if path.is_dir():
        return "beir" if qrels_tables(path) and (path / "corpus.jsonl").is_file() else "trec"
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


def _beir(folder: Path, split: str | None) -> EvalSet:
    result = EvalSet("beir", synthetic=False)
    tables = qrels_tables(folder)
    levels = [level for path in _of_split(tables, split, folder) for level in _levels(path, result.refused)]
    _with_texts(result, levels, folder / "queries.jsonl", folder / "corpus.jsonl")
    return result


def _of_split(tables: Mapping[str, Path], split: str | None, folder: Path) -> list[Path]:
    """Return the tables of one split, or all of them."""
    if split is None:
        return [tables[name] for name in sorted(tables)]
    if split not in tables:
        raise ValueError(
            f"{folder} has no qrels of the split {split!r}; it has: {', '.join(sorted(tables)) or 'none'}"
        )
    return [tables[split]]


def _trec(path: Path, split: str | None) -> EvalSet:
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        tables = qrels_tables(folder) or {path.name: path for path in sorted(folder.glob("*qrels*"))}
        files = _of_split(tables, split, folder)
    else:
        files = [path]
    if not files:
        raise ValueError(f"{folder} has neither qrels/ (BEIR) nor a file with qrels in its name (TREC)")
    result = EvalSet("trec", synthetic=False)
    highest, read = 0.0, []
    for file in files:
        levels = _levels(file, result.refused)
        questions = questions_beside(file, "queries", "topics")
        if levels and questions is None:
            raise ValueError(
                f"{folder} has no queries.tsv or queries.jsonl: qrels alone do not say what was asked"
            )
        highest = max([highest, *(level for *_, level in levels)])
        if questions is not None:
            read.append((levels, questions))
    corpus = questions_beside(files[0], "corpus", "collection", "docs")
    for levels, questions in read:
        _with_texts(result, levels, questions, corpus, highest)
    return result


def _levels(path: Path, refused: Counter[str]) -> list[tuple[str, str, float]]:
    """Yield (query id, document id, relevance) of a table of qrels."""
    levels = []
    for line in level_lines(path):
        if line.level is None:
            refused["unreadable line of qrels"] += 1
        else:
            levels.append((line.query, line.document, line.level))
    return levels


def _with_texts(
    result: EvalSet,
    levels: list[tuple[str, str, float]],
    queries: Path,
    corpus: Path | None,
    highest: float = 0.0,
) -> None:
    questions = _texts(queries, {query for query, _, _ in levels}, result.refused)
    texts = _texts(corpus, {doc for _, doc, _ in levels}, result.refused) if corpus else {}
    highest = highest or max((level for *_, level in levels), default=0.0)
    for query, doc, level in levels:
        if query not in questions:
            result.refused["question without text"] += 1
            continue
        if corpus is not None and doc not in texts:
            result.refused["chunk not in the corpus file"] += 1
            continue
        grade = 5 * max(level, 0) / highest if highest > 0 else 0.0
        result.examples.append(GradedPassage(questions[query], doc, texts.get(doc), round(grade, 3)))


def _texts(path: Path, wanted: set[str], refused: Counter[str]) -> dict[str, str]:
    """Return the texts of the wanted ids; the file is read line by line."""

    def refuse(_: int, reason: str) -> None:
        refused[reason] += 1

    return {name: passage(row) for _, name, row in text_rows(path, refuse) if name in wanted}


# --- tables and goldens ---


def _csv(path: Path, _: str | None) -> EvalSet:
    result = EvalSet("csv", synthetic=False)
    rows = _records(path, result.refused)
    for number, row in enumerate(rows):
        if number == 0 and not ("query" in row and {"chunk_id", "text"} & row.keys()):
            raise ValueError(
                f"the columns are {', '.join(map(str, row))}; expected query, chunk_id and/or text, and grade"
            )
        grade = _grade(row.get("grade", "5"))
        if grade is None:
            result.refused["grade that is no number"] += 1
            continue
        result.examples.append(
            GradedPassage(row["query"] or "", row.get("chunk_id") or None, row.get("text") or None, grade)
        )
    return result


def _grade(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    try:
        grade = float(value)
    except (TypeError, ValueError):
        return None
    return grade if math.isfinite(grade) else None


def _goldens(name: EvalFormat, question: str, contexts: str) -> Reader:
    """Return a reader of rows with a question and its reference contexts.

    Columns with the contexts that the app retrieved are ignored, since a retrieved chunk need not be
    relevant.
    """

    def read(path: Path, _: str | None) -> EvalSet:
        result = EvalSet(name, synthetic=True)
        for row in _records(path, result.refused):
            texts = row.get(contexts)
            if isinstance(texts, str):
                texts = _as_list(texts)
            texts = [text for text in texts or () if str(text or "").strip()]
            if not texts:
                result.refused["no context"] += 1
                continue
            asked = str(row.get(question) or "")
            result.examples += [GradedPassage(asked, None, str(text), 5.0) for text in texts]
        return result

    return read


def _as_list(text: str) -> list[Any]:
    """Parse a list in a cell of a CSV file: JSON, a Python or numpy ``repr``, or texts separated by bars.

    Bars over several lines or with blanks around them are a table, and part of one text.
    """
    if not text.strip():
        return []
    value = parse_loosely(text)
    if isinstance(value, list):
        return value
    table = "\n" in text.strip() or " | " in text or text.strip()[0] == "|" or text.strip()[-1] == "|"
    return [text] if table else text.split("|")


def _pairs(path: Path, _: str | None) -> EvalSet:
    result = EvalSet("pairs", synthetic=True)
    graded: list[tuple[GradedPassage, str]] = []
    for row in _records(path, result.refused):
        if {"queries", "corpus", "relevant_docs"} <= row.keys():
            for query_id, docs in row["relevant_docs"].items():
                asked = str(row["queries"].get(query_id) or "")
                result.examples += [GradedPassage(asked, doc, row["corpus"].get(doc), 5.0) for doc in docs]
        elif isinstance(row.get("docs"), list) and isinstance(row.get("labels"), list):
            asked = str(_first(row, _QUESTION) or "")
            graded += [
                (GradedPassage(asked, None, str(text), _grade(label) or 0.0), "label")
                for text, label in zip(row["docs"], row["labels"])
            ]
        else:
            graded += _pair(row, result.refused)
    labels = [example.grade for example, key in graded if key == "label"]
    factor = 5.0 if labels and max(labels) <= 1 and min(labels) >= 0 else 1.0
    if factor != 1:
        result.notes.append(
            f"the {len(labels):,} labels go up to {max(labels):g}: read as 0-1 and scaled to grades of 0-5"
        )
    for example, key in graded:
        scaled = round(example.grade * (factor if key == "label" else 1), 6)
        result.examples.append(replace(example, grade=scaled))
    return result


def _pair(row: Mapping[str, Any], refused: Counter[str]) -> list[tuple[GradedPassage, str]]:
    """Return the pair of a question and a chunk in a row, and its negatives if it has any."""
    key = next((name for name in ("grade", "label") if row.get(name) is not None), "")
    grade = _grade(row[key]) if key else 5.0
    if grade is None or isinstance(row.get(key), str):
        refused["grade that is no number"] += 1
        return []
    named = _first(row, ("chunk_id", "doc_id", "docid"))
    text = _first(row, _PASSAGE)
    asked = str(_first(row, _QUESTION) or "")
    pair = GradedPassage(
        asked, None if named is None else str(named) or None, None if text is None else str(text), grade
    )
    negatives = [
        str(v) for name, v in row.items() if name.startswith("negative") and isinstance(v, str) and v.strip()
    ]
    return [(pair, key), *((GradedPassage(asked, None, negative, 0.0), "negative") for negative in negatives)]


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _records(path: Path, refused: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON file (one, or a list) or of JSON lines, or the rows of a CSV file."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv_rows(file, refused, blanks=True)
    elif path.suffix == ".json":
        document = json.loads(path.read_text("utf-8-sig"))
        for row in document if isinstance(document, list) else [document]:
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


FORMATS: Final[dict[EvalFormat, Reader]] = {
    "beir": _beir,
    "trec": _trec,
    "csv": _csv,
    "ragas": _goldens("ragas", "user_input", "reference_contexts"),
    "deepeval": _goldens("deepeval", "input", "context"),
    "pairs": _pairs,
}
