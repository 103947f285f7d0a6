"""The workload is the same in every run and as the tables say it is."""

from __future__ import annotations

import statistics
from collections import Counter

from capture import workload

TEXTS = [
    "the retriever returns chunks and the chunks have text\nand the text has words",
    "chunks have words too " * 9,
]


def test_the_same_seed_gives_the_same_chunks() -> None:
    once = workload.chunks(TEXTS, count=50, characters=300, seed=1)
    assert once == workload.chunks(TEXTS, count=50, characters=300, seed=1)
    assert once != workload.chunks(TEXTS, count=50, characters=300, seed=2)
    assert len(set(once)) == 50


def test_chunks_of_the_documentation_have_the_length_they_should() -> None:
    made = workload.chunks(workload.documentation()[:40], count=100, characters=1000, seed=3)
    assert abs(statistics.mean(map(len, made)) - 1000) < 30
    assert all(900 < len(text) < 1300 for text in made)


def test_draws_are_repeatable_distinct_in_a_row_and_skewed() -> None:
    rows = workload.draws(5, pool=200, count=400, seed=4)
    assert rows == workload.draws(5, pool=200, count=400, seed=4)
    assert all(len(set(rows[at : at + 5])) == 5 for at in range(0, len(rows), 5))
    popular = [n for _, n in Counter(rows).most_common()]
    assert popular[0] > 8 * popular[len(popular) // 2]


def test_the_plain_retriever_returns_what_the_check_expects() -> None:
    small = workload.Workload("W5")
    found = workload.make_retriever(small, "plain")(workload.query_text(7))
    assert [chunk["text"] for chunk in found] == small.texts(7)
    assert [chunk["id"] for chunk in found] == [f"chunk-{j:05d}" for j in small.row(7)]
    scores = [chunk["score"] for chunk in found]
    assert scores == sorted(scores, reverse=True)


def test_a_second_workload_reads_the_cache_and_is_the_same() -> None:
    assert workload.Workload("W5").pool == workload.Workload("W5").pool
    assert workload.Workload("W5").rows == workload.Workload("W5").rows
