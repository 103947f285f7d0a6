"""Formats with lists of positives and negatives per query: FlagEmbedding and Tevatron."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragwheel.datasets.formats.graded import GradedDataset, GradedQuery
from ragwheel.datasets.formats.lines import write_json_lines
from ragwheel.datasets.options import SPLITS

__all__ = ["write_flagembedding", "write_tevatron"]


def write_flagembedding(dataset: Path, out: Path) -> None:
    """``{split}.jsonl`` with ``query, pos, neg, pos_scores, neg_scores``.

    Scores are grades from 0 to 1, for FlagEmbedding's knowledge distillation; its loader takes a negative
    for granted, so that queries without one are left out.
    """
    read = GradedDataset(dataset)
    for split in SPLITS:
        rows = (_flag(query) for query in read.queries(split) if query.positives and query.negatives)
        write_json_lines(out / f"{split}.jsonl", rows)


def _flag(query: GradedQuery) -> dict[str, Any]:
    pos, neg = query.positives, query.negatives
    return {
        "query": query.text,
        "pos": [document.text for document in pos],
        "neg": [document.text for document in neg],
        "pos_scores": [round(document.grade / 5, 6) for document in pos],
        "neg_scores": [round(document.grade / 5, 6) for document in neg],
        "pos_id": [document.id for document in pos],
        "neg_id": [document.id for document in neg],
    }


def write_tevatron(dataset: Path, out: Path, *, db: Path | None = None) -> None:
    """``{split}.jsonl`` with ``query_id, query, positive_passages, negative_passages``, and ``corpus.jsonl``.

    The loader draws as many negatives as it is told from what there is, so queries without one are left out.
    """
    read = GradedDataset(dataset, db)
    for split in SPLITS:
        rows = (_tevatron(query) for query in read.queries(split) if query.positives and query.negatives)
        write_json_lines(out / f"{split}.jsonl", rows)
    write_json_lines(out / "corpus.jsonl", ({"docid": name, "text": text} for name, text in read.corpus()))


def _tevatron(query: GradedQuery) -> dict[str, Any]:
    return {
        "query_id": query.id,
        "query": query.text,
        "positive_passages": [{"docid": positive.id, "text": positive.text} for positive in query.positives],
        "negative_passages": [{"docid": negative.id, "text": negative.text} for negative in query.negatives],
    }
