"""The questions that the demo's visitors never asked, with what truly answers them, in BEIR's layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ragwheel.demo.corpus import Corpus, Query
from ragwheel.labels.traces.text import query_key

__all__ = ["write_evalset"]


def write_evalset(out: Path, corpus: Corpus, *, unasked: Iterable[Query], splits: Mapping[str, str]) -> int:
    """Write ``corpus.jsonl``, ``queries.jsonl``, ``qrels.train.tsv`` and ``qrels.test.tsv``.

    Args:
        out: the folder; files of these names in it are replaced.
        corpus: passages, questions, and the truth.
        unasked: the questions for the test.
        splits: the dataset's split by query key; its questions of ``train`` say which passages were seen.

    Returns:
        How many test questions there are.
    """
    out.mkdir(parents=True, exist_ok=True)
    passages = ({"_id": entry.id, "title": "", "text": entry.text} for entry in corpus.passages)
    _write_lines(out / "corpus.jsonl", passages)
    _write_lines(out / "queries.jsonl", ({"_id": entry.id, "text": entry.text} for entry in corpus.queries))
    test = {query.id for query in unasked}
    train = {
        query.id
        for query in corpus.queries
        if query.id not in test and splits.get(query_key(query.text)) == "train"
    }
    for name, ids in (("train", train), ("test", test)):
        rows = [
            f"{query.id}\t{passage}\t1\n"
            for query in corpus.queries
            if query.id in ids
            for passage in sorted(query.relevant)
        ]
        head = "query-id\tcorpus-id\tscore\n"
        (out / f"qrels.{name}.tsv").write_text(head + "".join(rows), "utf-8")
    return len(test)


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
