"""From traces to propensities: who saw what is counted right, and an estimate is used only if it holds."""

from __future__ import annotations

from contextlib import closing

import pytest

from ragwheel.datasets import build
from ragwheel.labels import why
from ragwheel.labels.position.choose import examine, propensity_curve
from ragwheel.labels.position.counts import Counts
from ragwheel.labels.traces.exposure import facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.store import open_store


@pytest.fixture
def known(store, engine):
    def read():
        with closing(open_store(store.path)) as connection:
            return facts(engine, read_store(connection), TextReader(connection))

    return read


def ruled(policy, **changes):
    """The policy with other rules of examination."""
    rule = policy.examination.model_copy(update={"min_clicks": 30, "max_half_width": 0.5, **changes})
    return policy.model_copy(update={"examination": rule})


def people_click(store, *, queries=2, times=10, **given):
    """Chunks a and b in both orders: the first place gets a click each time, the second every other time."""
    for query in range(queries):
        for time in range(times):
            for ranked in (("a", "b"), ("b", "a")):
                asked = store.ask(f"question {query}", ranked, user_id=f"u{time}", answer=None, **given)
                store.signal(asked, "click", ranked[0])
                if time % 2:
                    store.signal(asked, "copy", ranked[1])


def test_the_estimate_is_used_and_reported(store, policy, known):
    people_click(store)
    found = examine(known(), ruled(policy))
    assert found.method == "pbm"
    assert found.theta == pytest.approx((1, 0.5))
    assert (found.clicks, found.queries, found.impressions) == (60, 2, 80)
    assert found.why_not == (
        "randomised: nothing was randomised (ragwheel.explore); "
        "harvested: only one retriever version was in use"
    )
    assert propensity_curve(3, ruled(policy), found) == pytest.approx((1, 1, 0.5, 0.5))
    off = policy.learning.model_copy(update={"enabled": False})
    (verdict,) = why(store.path, "question 1", "a", policy=ruled(policy).model_copy(update={"learning": off}))
    assert verdict.examination == found
    first, second = (verdict.model.weights["passed_over", place] for place in (1, 2))
    assert first < second < 0, "it says less that something was left alone where fewer people look"


def test_too_few_clicks_leave_the_documented_curve(store, policy, known):
    people_click(store, queries=1, times=2)
    found = examine(known(), policy)
    assert (found.method, found.why_not) == ("default", "6 clicks, at least 500 needed")
    assert propensity_curve(9, policy, found) == pytest.approx(
        [max(max(place, 1) ** -policy.examination.exponent, policy.examination.floor) for place in range(10)]
    )


@pytest.mark.parametrize(
    ("changes", "why_not"),
    [
        ({"method": "default"}, "the policy asks for it"),
        ({"method": "harvested"}, "only one retriever version"),
        ({"max_half_width": 0.0001}, "rank 2 is not known to within"),
        ({"method": "pbm", "min_clicks": 59}, ""),
        ({"method": "randomised"}, "nothing was randomised"),
    ],
    ids=str,
)
def test_the_policy_decides(store, policy, known, changes, why_not):
    people_click(store)
    found = examine(known(), ruled(policy, **changes))
    assert why_not in found.why_not
    assert (found.method == "default") == bool(why_not)


def test_only_what_people_saw_counts(store, known):
    told = store.ask("q", ["a", "b", "c"], shown=[2, 1], answer=None)
    store.signal(told, "click", "b")
    reported = store.ask("q", ["a", "b", "c"], answer=None)
    for chunk in ("a", "c"):
        store.signal(reported, "impression", chunk)
    plain = store.ask("q", ["a", "b", "c"], returned=2, answer=None)
    store.signal(plain, "click", "a")
    store.ask("never clicked", ["a", "b"])
    cells = Counts(known()).cells()
    rows = sorted(zip(cells.rank.tolist(), cells.impressions.tolist(), cells.clicks.tolist(), strict=True))
    assert rows == [(1, 1, 1), (1, 2, 1), (2, 1, 0), (2, 1, 0), (3, 1, 0)]


def test_explored_rankings_need_no_repeats(store, policy, known):
    for number in range(60):
        for flag, ranked in (("--", "ab"), ("ud", "ba")):
            asked = store.ask(
                f"once {number} {flag}", ranked, answer=None, flags=f'["explored: 0.5 {flag}", "other"]'
            )
            store.signal(asked, "click", ranked[0])
            if number % 2:
                store.signal(asked, "click", ranked[1])
    swapped = Counts(known()).swapped()
    assert set(
        zip(swapped.base.tolist(), swapped.rank.tolist(), swapped.propensity.tolist(), strict=True)
    ) == {
        (1, 1, 0.75),
        (2, 2, 0.75),
        (1, 2, 0.25),
        (2, 1, 0.25),
    }
    found = examine(known(), ruled(policy))
    assert found.method == "randomised"
    assert found.theta == pytest.approx((1, 0.5))
    assert found.clicks == 180


def test_a_build_says_which_propensity_it_used(store, tmp_path):
    people_click(store)
    report = build(store.path, tmp_path / "data")
    assert report.examination["method"] == "default"
    assert "60 clicks" in report.examination["why_not"]
    assert '"examination": {' in (tmp_path / "data" / "manifest.json").read_text()


def test_explored_rankings_without_a_click_count_too(store, policy, known):
    """Everybody looks at the first rank and half of them at the second; each question is asked once."""
    for number in range(200):
        for flag, ranked in (("--", "ab"), ("ud", "ba")):
            asked = store.ask(f"once {number} {flag}", ranked, answer=None, flags=f'["explored: 0.5 {flag}"]')
            if number % 2:
                store.signal(asked, "click", ranked[0])
            if number % 4 == 0:
                store.signal(asked, "click", ranked[1])
    swapped = Counts(known()).swapped()
    assert swapped.impressions.sum() == 800
    found = examine(known(), ruled(policy))
    assert found.method == "randomised"
    assert found.theta == pytest.approx((1, 0.5))
