"""The questions that the demo's visitors left for a test, with what truly answers them, in BEIR's layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ragwheel.demo.corpus import Corpus
from ragwheel.labels.text import query_key

__all__ = ["write_evalset"]


def write_evalset(out: Path, corpus: Corpus, splits: Mapping[str, str]) -> int:
    """Write ``corpus.jsonl``, ``queries.jsonl``, ``qrels.train.tsv`` and ``qrels.test.tsv``.

    Test are the questions that no training could see: those of the data set's split ``test``, and those that
    nobody asked. Questions of ``dev`` are in neither.

    Args:
        out: the folder; files of these names in it are replaced.
        corpus: passages, questions, and the truth.
        splits: the data set's split by query key.

    Returns:
        How many test questions there are.
    """
    out.mkdir(parents=True, exist_ok=True)
    passages = ({"_id": one.id, "title": "", "text": one.text} for one in corpus.passages)
    _write_lines(out / "corpus.jsonl", passages)
    _write_lines(out / "queries.jsonl", ({"_id": one.id, "text": one.text} for one in corpus.queries))
    split = {one.id: splits.get(query_key(one.text), "test") for one in corpus.queries}
    for name in ("train", "test"):
        rows = [
            f"{query.id}\t{passage}\t1\n"
            for query in corpus.queries
            if split[query.id] == name
            for passage in sorted(query.relevant)
        ]
        head = "query-id\tcorpus-id\tscore\n"
        (out / f"qrels.{name}.tsv").write_text(head + "".join(rows), "utf-8")
    return sum(name == "test" for name in split.values())


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
