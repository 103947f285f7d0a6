"""The false-negative checks, in their order, and whom they spare."""

from __future__ import annotations

from collections import Counter

import pytest

from ragwheel.labels.negatives import CHECKS, GradedChunk, vet
from ragwheel.labels.policy import load_policy

POLICY = load_policy()
KNOWN, COPY, CLOSE = (name for name, _ in CHECKS)
WORDS = [f"w{n}" for n in range(20)]


def chunk(number, status="negative", **given):
    values = {
        "chunk_version": number, "source": "kb", "chunk_id": f"c{number}", "text_id": number,
        "text": f"text number{number} alone", "grade": 0.5, "confidence": 0.9, "closeness": None,
        "reasons": (), "strategy": "prompted_not_cited" if status == "negative" else None,
        "status": status, **given,
    }  # fmt: skip
    return GradedChunk(**values)


POSITIVE = chunk(1, "positive", closeness=500_000, text=" ".join(WORDS))


def kept(negative, positives_of_similar_queries=()):
    dropped: Counter[str] = Counter()
    found = vet([POSITIVE, negative], positives_of_similar_queries, POLICY, dropped)
    return [one.chunk_version for one in found], dict(dropped)


def test_an_innocent_negative_passes():
    assert kept(chunk(2, closeness=400_000)) == ([2], {})


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"chunk_id": "c1"}, KNOWN),  # another version of the positive
        ({"text_id": 1}, KNOWN),  # the same text under another id
        ({"text": " ".join([*WORDS[:19], "other"])}, COPY),
        ({"closeness": 480_000}, CLOSE),
        ({"closeness": 900_000}, CLOSE),
    ],
)
def test_what_may_be_relevant_is_dropped_and_counted_by_rule(given, rule):
    assert kept(chunk(2, **given)) == ([], {rule: 1})


def test_positives_of_near_identical_queries_are_no_negatives():
    assert kept(chunk(2), positives_of_similar_queries={2}) == ([], {KNOWN: 1})
    assert kept(chunk(2, strategy="explicit_rejection"), positives_of_similar_queries={2}) == ([], {KNOWN: 1})


@pytest.mark.parametrize("strategy", ["explicit_rejection", "judged"])
def test_explicit_words_skip_the_similarity_checks(strategy):
    near = " ".join([*WORDS[:19], "other"])
    assert kept(chunk(2, strategy=strategy, text=near, closeness=900_000, chunk_id="c1")) == ([2], {})


@pytest.mark.parametrize("strategy", ["bounce", "passed_over"])
def test_where_somebody_looked_the_score_is_not_asked(strategy):
    assert kept(chunk(2, strategy=strategy, closeness=900_000)) == ([2], {})


def test_without_a_positive_nothing_is_similar():
    assert [one.chunk_version for one in vet([chunk(2, closeness=9)], (), POLICY, Counter())] == [2]


def test_scores_are_compared_with_the_best_positive():
    good, poor = (
        chunk(n, "positive", closeness=c, text=f"other {n}") for n, c in ((1, 500_000), (2, 100_000))
    )
    below, above = chunk(3, closeness=400_000), chunk(4, closeness=490_000)
    dropped: Counter[str] = Counter()
    for positives in ([good, poor], [poor, good]):
        assert [one.chunk_version for one in vet([*positives, below, above], (), POLICY, dropped)] == [3]
    assert dropped == {CLOSE: 2}
