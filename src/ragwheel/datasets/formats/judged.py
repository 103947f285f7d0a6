"""Formats with relevance judgments by id: BEIR, TREC qrels, LlamaIndex."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ragwheel.datasets.formats.graded import GradedDataset
from ragwheel.datasets.formats.lines import write_json_lines, write_lines
from ragwheel.datasets.options import SPLITS

__all__ = ["write_beir", "write_llamaindex", "write_trec"]


def write_beir(dataset: Path, out: Path, *, db: Path | None = None) -> None:
    """A BEIR folder: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/{split}.tsv`` with grades from 0 to 5.

    The corpus has the chunks that are graded for some query, and with ``db`` all others, too. A split without
    queries has no file.
    """
    read = GradedDataset(dataset, db)
    corpus = ({"_id": name, "title": "", "text": text} for name, text in read.corpus())
    write_json_lines(out / "corpus.jsonl", corpus)
    queries = (query for split in SPLITS for query in read.queries(split))
    write_json_lines(out / "queries.jsonl", ({"_id": query.id, "text": query.text} for query in queries))
    for split in SPLITS:
        rows = [f"{query}\t{document}\t{level}" for query, document, level in _levels(read, split)]
        if rows:
            write_lines(out / "qrels" / f"{split}.tsv", ["query-id\tcorpus-id\tscore", *rows])


def write_trec(dataset: Path, out: Path, *, db: Path | None = None) -> None:
    """``{split}.qrels`` (``qid 0 docid grade``), ``{split}.queries.tsv``, ``corpus.tsv``; one line a text.

    The corpus is that of :func:`write_beir`.
    """
    read = GradedDataset(dataset, db)
    for split in SPLITS:
        rows = (f"{query} 0 {document} {level}" for query, document, level in _levels(read, split))
        write_lines(out / f"{split}.qrels", rows)
        queries = (f"{query.id}\t{_flat(query.text)}" for query in read.queries(split))
        write_lines(out / f"{split}.queries.tsv", queries)
    write_lines(out / "corpus.tsv", (f"{name}\t{_flat(text)}" for name, text in read.corpus()))


def write_llamaindex(dataset: Path, out: Path) -> None:
    """``{split}.json`` for ``EmbeddingQAFinetuneDataset.from_json``: queries, corpus, relevant ids."""
    read = GradedDataset(dataset)
    for split in SPLITS:
        queries = [query for query in read.queries(split) if query.positives]
        judged = {
            "queries": {query.id: query.text for query in queries},
            "corpus": {document.id: document.text for query in queries for document in query.documents},
            "relevant_docs": {query.id: [positive.id for positive in query.positives] for query in queries},
            "mode": "text",
        }
        text = json.dumps(judged, ensure_ascii=False, indent=1)
        (out / f"{split}.json").write_text(text + "\n", "utf-8")


def _levels(read: GradedDataset, split: str) -> Iterator[tuple[str, str, int]]:
    for query in read.queries(split):
        yield from ((query.id, document.id, document.level) for document in query.documents)


def _flat(text: str) -> str:
    return " ".join(text.split())
