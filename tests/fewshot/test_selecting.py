"""The algorithms against their definitions: brute force, and LangChain-free twins."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragwheel import fewshot
from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.fewshot.selecting import facility_location, mmr, quotas


def value(sim, chosen):
    return float(sim[:, list(chosen)].max(axis=1).sum()) if len(chosen) else 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_facility_location_is_the_plain_greedy_and_near_the_best(seed, n):
    sim = np.random.default_rng(seed).random((9, 7)).astype(np.float32)
    picked = facility_location(sim, n)
    plain: list[int] = []
    for _ in range(n):
        plain.append(max((c for c in range(7) if c not in plain), key=lambda c: value(sim, [*plain, c])))
    assert value(sim, picked) == pytest.approx(value(sim, plain), rel=1e-5)
    best = max(value(sim, chosen) for chosen in itertools.combinations(range(7), n))
    assert value(sim, picked) >= (1 - 1 / np.e) * best
    later = facility_location(sim, n, kept=picked[:1])
    assert picked[0] not in later


def test_what_is_kept_needs_nobody_else():
    sim = np.array([[1, 0.9, 0], [1, 0.9, 0], [0, 0, 0.8]], dtype=np.float32)
    assert facility_location(sim, 1, kept=[0]) == [2]
    assert facility_location(sim[:, 1:], 1) == [0]  # without it, the twin of what was kept is worth most


def test_mmr_trades_relevance_for_difference():
    vectors = np.array([[1, 0], [0.999, 0.045], [0, 1]], dtype=np.float32)
    relevance = np.array([0.9, 0.89, 0.3], dtype=np.float32)
    assert mmr(relevance, vectors, 2, 1.0) == [0, 1]
    assert mmr(relevance, vectors, 2, 0.5) == [0, 2]
    assert mmr(relevance, vectors, 9, 0.5) == [0, 2, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 1), st.integers(0, 9)), min_size=1, max_size=6), st.integers(1, 20))
def test_quotas_give_what_there_is(groups, n):
    shares = [share / sum(s for s, _ in groups) for share, _ in groups]
    available = [has for _, has in groups]
    given_ = quotas(shares, available, n)
    assert sum(given_) == min(n, sum(available))
    assert all(got <= has for got, has in zip(given_, available, strict=True))
    if n >= len(groups):
        assert all(got >= 1 for got, has in zip(given_, available, strict=True) if has)
    assert quotas(shares, available, n, each=True) == [min(n, has) for has in available]


def examples(n):
    return [fewshot.Example(f"e{i}", f"question number {i}", f"answer {i}") for i in range(n)]


def test_a_selector_of_plain_examples_finds_the_nearest_first():
    selector = fewshot.Selector(examples(30), k=3)
    assert selector.select("question number 17")[0].id == "e17"
    assert len(selector.select("question", k=50)) == 30
    assert selector.select("question", k=0) == []
    assert fewshot.Selector([], k=3).select("anything") == []
    assert len(selector.select("")) == 3  # a question without words still gets examples


def test_added_examples_are_seen_and_threads_do_not_disturb_each_other():
    selector, failures = fewshot.Selector(examples(2), k=2), []
    begin = threading.Barrier(4)

    def work(n):
        try:
            begin.wait()
            for i in range(100):
                selector.add((f"added {n} {i}", "yes")) if n % 2 else selector.select("question")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(selector) == 202


def test_what_a_selector_refuses():
    for wrong in ({"k": 0}, {"k": 5, "fetch_k": 4}, {"weight": 2}):
        with pytest.raises(ConfigurationError, match="Selector: got k="):
            fewshot.Selector(examples(2), **wrong)
    selector = fewshot.Selector(examples(3), embed=lambda texts: [[1.0, 0.0]] * len(texts))
    with pytest.raises(ModelError, match="shape"):
        selector.select_vector([1.0])
    sizes = iter((2, 3))
    odd = fewshot.Selector(examples(1), embed=lambda texts: [[1.0] * next(sizes)])
    with pytest.raises(ModelError, match="allowed: 2"):
        odd.add(("q", "a"))


def test_the_package_is_light_to_load():
    code = "import sys, ragwheel.fewshot; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = [
        "sklearn",
        "scipy",
        "pyarrow",
        "duckdb",
        "ibis",
        "torch",
        "jinja2",
        "httpx",
        "yaml",
        "typer",
        "rich",
    ]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
