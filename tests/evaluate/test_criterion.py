"""The expected gain: what the labels of traces say about a candidate, corrected for what was never shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ragwheel.evaluate import (
    Collection,
    EvaluateOptions,
    Evaluation,
    StatisticsOptions,
    evaluate,
    from_callable,
    recommend,
)
from ragwheel.evaluate.criterion import (
    CriterionOptions,
    Gain,
    _stretch,
    expected_gain,
    judgments_needed,
    moves_of,
    unseen_relevant,
)

_CHUNKS = 200


@dataclass(frozen=True)
class _Traffic:
    """Beliefs in what a base showed, both rankings, and the true gain in nDCG@10."""

    beliefs: dict[str, dict[str, float]]
    base: dict[str, list[str]]
    candidate: dict[str, list[str]]
    truth: float

    @property
    def plain(self) -> float:
        """The gain by the beliefs alone: what nobody has seen counts as irrelevant."""
        gains = []
        for query, graded in self.beliefs.items():
            gains.append(_dcg(self.candidate[query], graded) - _dcg(self.base[query], graded))
        return float(np.mean(gains))


def _dcg(ranking: list[str], worth: dict[str, float]) -> float:
    return sum(worth.get(chunk, 0.0) / np.log2(rank + 1) for rank, chunk in enumerate(ranking[:10], 1))


def _traffic(noise_of_candidate: float, *, queries: int = 300, seed: int = 0) -> _Traffic:
    """Two rankers whose errors have nothing to do with each other; the base (noise 1) shows eight chunks."""
    rng = np.random.default_rng(seed)
    beliefs, rankings, gains = {}, ({}, {}), []  # type: ignore[var-annotated]
    for number in range(queries):
        query = f"q{number}"
        relevant = rng.choice(_CHUNKS, rng.integers(1, 5), replace=False)
        worth = np.zeros(_CHUNKS)
        worth[relevant] = 2.5
        orders = [
            np.argsort(-(worth + noise * rng.standard_normal(_CHUNKS))) for noise in (1.0, noise_of_candidate)
        ]
        for ranking, order in zip(rankings, orders):
            ranking[query] = [str(chunk) for chunk in order[:100]]
        beliefs[query] = {str(chunk): 0.95 if chunk in relevant else 0.02 for chunk in orders[0][:8]}
        truth = {str(chunk): 1.0 for chunk in relevant}
        ideal = _dcg(list(truth), truth)
        gains.append((_dcg(rankings[1][query], truth) - _dcg(rankings[0][query], truth)) / ideal)
    return _Traffic(beliefs, *rankings, float(np.mean(gains)))


def _gain(traffic: _Traffic, **options: Any) -> Gain:
    return expected_gain(
        traffic.beliefs, traffic.base, traffic.candidate, options=CriterionOptions(**options)
    )


def test_a_ranking_that_is_as_good_as_the_base_is_not_said_to_lose() -> None:
    traffic = _traffic(1.0)
    assert abs(traffic.truth) < 0.03
    assert traffic.plain < -0.1  # what nobody has seen counts as irrelevant: a loss that is none
    found = _gain(traffic)
    assert found.known < -0.05
    assert abs(found.mean - traffic.truth) < abs(found.known - traffic.truth) / 2
    assert found.mean > -0.1


def test_a_better_ranking_gains_although_the_labels_favour_the_base() -> None:
    traffic = _traffic(0.7, queries=300)
    assert traffic.truth > 0.2
    assert traffic.plain < 0.02
    found = _gain(traffic)
    assert found.low > 0
    assert found.rise > 0


def test_a_worse_ranking_loses() -> None:
    traffic = _traffic(1.3)
    found = _gain(traffic)
    assert traffic.truth < -0.1
    assert found.high < 0
    assert found.p > 0.95


def test_better_candidates_are_ordered_as_people_would_order_them() -> None:
    found = [_gain(_traffic(noise)) for noise in (0.6, 0.8, 1.0, 1.2, 1.5)]
    assert found == sorted(found, key=lambda gain: gain.mean, reverse=True)
    assert found == sorted(found, key=lambda gain: gain.rise, reverse=True)


def test_the_base_itself_gains_nothing() -> None:
    traffic = _traffic(1.0, queries=50)
    found = expected_gain(traffic.beliefs, traffic.base, traffic.base)
    values = (found.mean, found.low, found.high, found.known, found.rise)
    assert values == pytest.approx((0.0,) * 5, abs=1e-6)


def test_queries_of_one_family_count_as_one_for_the_interval() -> None:
    traffic = _traffic(0.9, queries=200)
    families = {query: f"f{int(query[1:]) % 10}" for query in traffic.beliefs}
    apart = expected_gain(traffic.beliefs, traffic.base, traffic.candidate)
    together = expected_gain(traffic.beliefs, traffic.base, traffic.candidate, clusters=families)
    copies = {
        f"{query}{copy}": graded for query, graded in traffic.beliefs.items() for copy in ("a", "b", "c", "d")
    }
    repeated = expected_gain(
        copies,
        {name: traffic.base[name[:-1]] for name in copies},
        {name: traffic.candidate[name[:-1]] for name in copies},
        clusters={name: name[:-1] for name in copies},
    )
    assert together.mean == pytest.approx(apart.mean)
    assert repeated.mean == pytest.approx(apart.mean)
    assert repeated.high - repeated.low == pytest.approx(apart.high - apart.low, rel=0.2)


def test_without_any_belief_nothing_is_said() -> None:
    assert expected_gain({}, {}, {}) == Gain(0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0)
    assert expected_gain({"q": {}}, {"q": ["a"]}, {"q": ["b"]}).queries == 0


def test_a_query_that_a_system_does_not_rank_counts_as_lost() -> None:
    beliefs = {f"q{n}": {"a": 0.9, "b": 0.1} for n in range(20)}
    base = {query: ["a", "b", "c"] for query in beliefs}
    assert expected_gain(beliefs, base, {}).mean < -0.5


def test_unseen_relevant_chunks_are_expected_where_none_is_known_among_what_was_not_exposed() -> None:
    traffic = _traffic(1.0)
    beliefs = {**traffic.beliefs, "q0": dict.fromkeys(traffic.beliefs["q0"], 0.0), "q1": {"7": 1.0}}
    moves = moves_of(beliefs, traffic.base, traffic.candidate)
    unseen = unseen_relevant(moves, CriterionOptions(answerable=0.8, unseen=0.1))
    assert unseen[:, 1:8].sum() < unseen.sum() / 50  # all but one question showed eight
    assert (np.diff(unseen[0, 8:]) <= 0).all()
    assert unseen[0].sum() == pytest.approx(0.8, abs=0.01)
    assert unseen[1].sum() == pytest.approx(0.1, abs=0.01)
    everything = {query: dict.fromkeys(traffic.base[query], 0.1) for query in traffic.base}
    whole = moves_of(everything, traffic.base, traffic.candidate)
    assert unseen_relevant(whole, CriterionOptions()).sum() == 0


def _evaluation(traffic: _Traffic) -> Evaluation:
    """The candidate against the base by labels of what the base showed."""
    chunks = {str(chunk): f"chunk {chunk}" for chunk in range(_CHUNKS)}
    relevant = {
        query: {chunk: 5 for chunk, belief in graded.items() if belief > 0.5}
        for query, graded in traffic.beliefs.items()
    }
    qrels = {query: graded for query, graded in relevant.items() if graded}
    collection = Collection(
        "traces",
        chunks,
        {query: query for query in qrels},
        {"inferred": qrels},
        positive=3,
        beliefs=traffic.beliefs,
    )
    systems = [
        from_callable(lambda query, _k, ranking=ranking: ranking[query], name)
        for name, ranking in (("base", traffic.base), ("mine", traffic.candidate))
    ]
    return evaluate(collection, systems, options=EvaluateOptions(cache=None))


def test_labels_of_what_was_shown_do_not_refuse_a_ranking_that_is_better() -> None:
    found = _evaluation(_traffic(0.6, queries=300))
    row = found.comparisons["mine"].rows[0]
    assert row.labels == "inferred"
    assert found.expected["mine"]["all"].low > 0 > row.difference.mean - found.expected["mine"]["all"].mean
    assert row.verdict.word == "can't tell"
    assert "judged questions would prove it" in row.verdict.why
    advice = recommend(found)
    assert advice.system == "base"  # what traces let us believe is no proof
    assert not advice.refused
    assert "mine is expected to gain +" in advice.why[1]
    assert "(ragwheel grade)" in advice.why[1]


def test_a_ranking_that_is_expected_to_lose_is_refused() -> None:
    found = _evaluation(_traffic(1.5))
    assert found.comparisons["mine"].verdict.word == "worse"
    assert "expected to lose against base" in recommend(found).refused["mine"]


def test_judgments_needed_fall_with_the_square_of_the_gain() -> None:
    def needed(mean: float) -> int:
        return judgments_needed(
            Gain(mean, mean - 0.02, mean + 0.02, 0.0, mean, mean, 400), StatisticsOptions()
        )

    assert needed(0.04) == pytest.approx(200, rel=0.05)  # ((1.96 + .84) * .0102 / .04)² * 400
    assert needed(0.02) == pytest.approx(4 * needed(0.04), rel=0.05)
    assert needed(0.0001) == needed(0.01)  # a smaller gain is not worth proving
    assert needed(5.0) == 10


def test_the_interval_is_wider_where_the_gain_hangs_on_chunks_in_doubt():
    options = CriterionOptions(answerable=0.0, unseen=0.0)

    def width(belief):
        questions = [f"q{number}" for number in range(40)]
        beliefs = {question: {"a": 0.0, "b": belief} for question in questions}
        base, candidate = (dict.fromkeys(questions, order) for order in (("a", "b"), ("b", "a")))
        gain = expected_gain(beliefs, base, candidate, options=options)
        assert gain.low <= gain.mean <= gain.high
        return gain.high - gain.low

    assert width(1.0) < 1e-6  # every question says the same, for certain
    assert width(0.5) > 0.02


def test_the_interval_of_few_questions_is_stretched_by_students_t():
    assert _stretch(10, 0.95) == pytest.approx(2.262 / 1.960 * (10 / 9) ** 0.5, rel=1e-3)
    assert _stretch(100_000, 0.95) == pytest.approx(1.0, rel=1e-4)
    assert _stretch(1, 0.95) == 1.0
