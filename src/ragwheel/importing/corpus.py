"""Texts by id from a corpus (``--corpus FILE``), for traces whose passages have ids only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import ImportingError
from ragwheel.importing.containers import RecordSource, read_records
from ragwheel.importing.records import RetrievedPassage
from ragwheel.importing.values import first

__all__ = ["CorpusFile", "read_corpus"]

IDS: Final = ("_id", "id", "chunk_id", "doc_id", "docid", "document_id", "docno", "pid", "object_id")
TEXTS: Final = (
    "text",
    "page_content",
    "content",
    "contents",
    "body",
    "passage",
    "chunk",
    "document",
    "abstract",
)


class CorpusFile:
    """Texts by id; ``joined`` counts the passages that got a text, ``missing`` those that did not."""

    def __init__(self, texts: dict[str, tuple[str, dict[str, Any] | None]]) -> None:
        self._texts = texts
        self.joined = self.missing = 0

    def __len__(self) -> int:
        return len(self._texts)

    def fill(self, passage: RetrievedPassage) -> None:
        """Set the text of a passage that has none."""
        if passage.text is not None or passage.id is None:
            return
        entry = self._texts.get(passage.id)
        if entry is None:
            self.missing += bool(self._texts)
            return
        self.joined += 1
        passage.text = entry[0]
        passage.metadata = passage.metadata or entry[1]


def read_corpus(path: Path) -> CorpusFile:
    """Read a corpus: JSON lines, CSV, Parquet or a BEIR folder with ``corpus.jsonl``.

    A title is put before the text, as in BEIR's evaluation.

    Raises:
        ImportingError: the file has no column of ids or no column of texts.
    """
    file = path / "corpus.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise ImportingError(
            f"There is no corpus at {file}. Expected JSON lines, CSV, Parquet or a BEIR folder."
        )
    unreadable: Counter[str] = Counter()
    texts: dict[str, tuple[str, dict[str, Any] | None]] = {}
    columns: list[str] = []
    for record in read_records(RecordSource(file, unreadable=unreadable)):
        columns = columns or list(record)
        app_id, text = first(record, IDS), first(record, TEXTS)
        if app_id is None or not isinstance(text, str):
            unreadable["row without id or text"] += 1
            continue
        title = record.get("title")
        body = f"{title} {text}" if isinstance(title, str) and title.strip() else text
        metadata = record.get("metadata")
        texts[str(app_id)] = (body, metadata if isinstance(metadata, dict) and metadata else None)
    if not texts:
        raise ImportingError(
            f"{file} gives no text for any id. Looked for an id in {', '.join(IDS)} "
            f"and a text in {', '.join(TEXTS)}; "
            f"saw the columns {', '.join(columns[:20]) or 'none'}."
        )
    return CorpusFile(texts)
