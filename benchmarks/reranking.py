#!/usr/bin/env python3
"""How long a re-ranker on features takes for what a store's retrievals returned.

    ragwheel demo --out demo
    ragwheel train reranker demo/dataset --out demo/reranker --db demo/ragwheel.db
    python benchmarks/reranking.py --db demo/ragwheel.db --model demo/reranker

Each recorded retrieval is scored once by a re-ranker that was just loaded (*cold*: it has seen no text) and
again (*warm*: its words are remembered). Time is the thread's CPU time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import closing
from pathlib import Path

from ragwheel.deploy.features import CandidateChunk, FeatureReranker
from ragwheel.store import open_store

RANKED = """
    SELECT r.query, c.text, c.chunk_id, c.source, i.score FROM retrievals r
      JOIN impressions i USING (retrieval_id) JOIN chunks c USING (chunk_version)
     WHERE r.retrieval_id = ? ORDER BY i.rank
"""


def retrievals(db: Path, count: int) -> list[tuple[str, list[CandidateChunk]]]:
    """The newest ``count`` retrievals: question and ranked chunks."""
    with closing(open_store(db, require_traces=True)) as connection:
        newest = connection.execute(
            "SELECT retrieval_id FROM retrievals ORDER BY start_ns DESC LIMIT ?", (count,)
        ).fetchall()
        ranked = [connection.execute(RANKED, row).fetchall() for row in newest]
    return [(rows[0][0], [CandidateChunk(*row[1:]) for row in rows]) for rows in ranked if rows]


def milliseconds(model: FeatureReranker, asked: list[tuple[str, list[CandidateChunk]]]) -> list[float]:
    """Thread CPU time for each question, in milliseconds."""
    taken = []
    for question, candidates in asked:
        start = time.thread_time()
        model.score_candidates(question, candidates)
        taken.append(1000 * (time.thread_time() - start))
    return taken


def main() -> None:
    """Print medians and the slowest twentieth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--retrievals", type=int, default=500)
    options = parser.parse_args()
    asked = retrievals(options.db, options.retrievals)
    model = FeatureReranker.load(options.model)
    chunks = statistics.mean(len(candidates) for _, candidates in asked)
    words = statistics.mean(len(chunk.text.split()) for _, candidates in asked for chunk in candidates)
    print(f"{len(asked)} retrievals of {chunks:.0f} chunks with {words:.0f} words")
    for state in ("cold", "warm"):
        taken = sorted(milliseconds(model, asked))
        slow = taken[int(0.95 * (len(taken) - 1))]
        print(f"{state}  median {statistics.median(taken):.2f} ms, 95 % below {slow:.2f} ms of one core")


if __name__ == "__main__":
    main()
