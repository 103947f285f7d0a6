"""The expected gain: what the labels of traces say about a candidate, corrected for what was never shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ragwheel.evaluate.criterion import CriterionOptions, Gain, expected_gain, moves_of, unseen_relevant

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
    assert found.low < 0 < found.high


@pytest.mark.parametrize("noise", [0.8, 0.9])
def test_a_better_ranking_gains_although_the_labels_favour_the_base(noise: float) -> None:
    traffic = _traffic(noise, queries=500)
    assert traffic.truth > 0.05 > traffic.plain
    assert _gain(traffic).mean > 0.03


def test_a_worse_ranking_loses() -> None:
    traffic = _traffic(1.3)
    found = _gain(traffic)
    assert traffic.truth < -0.1
    assert found.high < 0
    assert found.p > 0.95


def test_better_candidates_are_ordered_as_people_would_order_them() -> None:
    found = [_gain(_traffic(noise)).mean for noise in (0.6, 0.8, 1.0, 1.2, 1.5)]
    assert found == sorted(found, reverse=True)


def test_the_base_itself_gains_nothing() -> None:
    traffic = _traffic(1.0, queries=50)
    found = expected_gain(traffic.beliefs, traffic.base, traffic.base)
    assert found == Gain(0.0, 0.0, 0.0, 1.0, 0.0, 50)


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
    assert expected_gain({}, {}, {}) == Gain(0.0, 0.0, 0.0, 1.0, 0.0, 0)
    assert expected_gain({"q": {}}, {"q": ["a"]}, {"q": ["b"]}).queries == 0


def test_a_query_that_a_system_does_not_rank_counts_as_lost() -> None:
    beliefs = {f"q{n}": {"a": 0.9, "b": 0.1} for n in range(20)}
    base = {query: ["a", "b", "c"] for query in beliefs}
    assert expected_gain(beliefs, base, {}).mean < -0.5


def test_chunks_that_nobody_saw_are_believed_less_the_deeper_they_stand() -> None:
    traffic = _traffic(1.0)
    unseen = unseen_relevant(moves_of(traffic.beliefs, traffic.base, traffic.candidate), CriterionOptions())
    assert unseen[:8].sum() == 0  # all of them were shown
    deep = unseen[8:]
    assert (deep > 0).all()
    assert (np.diff(deep) <= 0).all()
    assert deep.sum() < 5


def test_ranks_that_were_shown_now_and_then_stand_for_those_that_were_not() -> None:
    traffic = _traffic(1.0)
    some = {
        query: {chunk: b for rank, (chunk, b) in enumerate(graded.items()) if rank < 4 or number % 2}
        for number, (query, graded) in enumerate(traffic.beliefs.items())
    }
    moves = moves_of(some, traffic.base, traffic.candidate)
    unseen = unseen_relevant(moves, CriterionOptions())
    seen = sum(sum(list(graded.values())[4:]) for graded in some.values()) / len(some)
    assert unseen[4:8].sum() == pytest.approx(seen, rel=0.3)  # half was shown, so the other half is as much
