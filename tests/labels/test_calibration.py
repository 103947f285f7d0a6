"""Beliefs beside people's judgments, and what the label model says of itself in words."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from ragwheel.datasets import build
from ragwheel.labels import load_policy, why
from ragwheel.labels.calibration import ENOUGH, error_by_chance, reliability_of
from ragwheel.labels.model.learned import ChannelSummary, LabelModel, Thresholds
from ragwheel.labels.model.wording import channel_sentence, model_warnings, summary_of
from ragwheel.labels.recalibration import Recalibration, fit_recalibration
from ragwheel.testing import TraceStore

ASKED = {"positives": 0.95, "negatives": 0.98}


def model(*, ratio: float = 2.0, trust: float = 0.98, short: tuple[str, ...] = ()) -> LabelModel:
    """Return a model of citations alone, with a learned ratio."""
    summary = ChannelSummary(1200, 900.0, trust, ratio, 2.8, 0.01)
    limits = Thresholds(0.8, 0.15, 0.82, 0.9, short)
    return LabelModel({}, {}, {}, {"citation": summary}, limits)


def test_a_channel_is_put_into_words_from_what_the_manifest_has():
    numbers = model().describe()["citation"]
    assert channel_sentence("citation", numbers) == (
        "cited: learned 2.0 (×7.4), the policy says 2.8; 98% from your traces"
    )
    assert summary_of(numbers) == model().channels["citation"]
    assert "found to say little" in channel_sentence("citation", model(ratio=0.1).describe()["citation"])


def test_a_build_warns_of_a_weak_instrument_and_of_rows_that_are_less_sure_than_asked_for():
    assert list(model_warnings(model(), ASKED, "ragwheel grade --db a.db")) == []
    (weak,) = model_warnings(model(ratio=0.1), ASKED, "ragwheel grade --db a.db")
    assert "cited: learned 0.1" in weak
    assert weak.endswith("ragwheel grade --db a.db")
    (short,) = model_warnings(model(short=("positives",)), ASKED, "ragwheel grade --db a.db")
    assert short.startswith("Positives are expected to be right in 82% of the cases, 95% were asked for.")
    assert short.endswith("ragwheel grade --db a.db")


def test_a_channel_that_the_policy_decides_is_not_called_weak():
    assert list(model_warnings(model(ratio=0.1, trust=0.2), ASKED, "ragwheel grade")) == []


def test_the_calibration_error_weighs_each_bin_by_its_pairs():
    belief = [0.9] * 8 + [0.1] * 2
    relevant = [True] * 4 + [False] * 4 + [False] * 2
    found = reliability_of(belief, relevant)
    assert found["judged"] == 10
    assert found["calibration_error"] == pytest.approx(0.8 * 0.4 + 0.2 * 0.1)
    assert [row["pairs"] for row in found["bins"]] == [2, 8]
    assert found["bins"][1]["relevant"] == 0.5


def test_beliefs_of_exactly_one_and_of_exactly_zero_have_a_bin():
    found = reliability_of([0.0, 1.0], [False, True])
    assert found["calibration_error"] == 0
    assert [(row["from"], row["to"]) for row in found["bins"]] == [(0.0, 0.2), (0.8, 1.0)]


def traces(path, judged: int) -> None:
    """Write a store of 40 questions in which the first chunk is right, with so many judgments by people."""
    chance = random.Random(5)
    left = judged
    with TraceStore(path) as store:
        for turn in range(120):
            good, bad = f"right{turn % 40}", f"wrong{turn % 40}"
            cited = [1] if chance.random() < 0.8 else []
            store.ask(f"question {turn % 40}", [good, bad], prompted=[1, 2], cited=cited)
            for chunk, grade in ((good, 5), (bad, 0)):
                if turn < 40 and left:
                    store.judge(f"question {turn}", chunk, grade)
                    left -= 1


def test_a_build_compares_beliefs_with_people_only_where_enough_pairs_were_judged(tmp_path):
    reports = {}
    for judged in (ENOUGH - 1, ENOUGH):
        path = tmp_path / f"{judged}.db"
        traces(path, judged)
        reports[judged] = build(path, tmp_path / f"data{judged}")
        assert reports[judged].reliability["judged"] == judged
        assert ("bins" in reports[judged].reliability) == (judged >= ENOUGH)
    report = reports[ENOUGH]
    assert report.reliability["calibration_error"] < 0.3
    assert sum(row["pairs"] for row in report.reliability["bins"]) == ENOUGH
    assert load_policy().grading.precision_of_positives == ASKED["positives"]


def test_why_adds_up_where_paraphrases_lend_their_evidence(tmp_path):
    chance = random.Random(3)
    with TraceStore(tmp_path / "traces.db") as store:
        for need in range(40):
            ranked, right = [f"a{need}", f"b{need}", f"c{need}"], need % 3 + 1
            for wording in range(3):
                cited = [right] if chance.random() < 0.8 else []
                store.ask(f"need {need} as {wording}", ranked, prompted=[1, 2, 3], cited=cited)
        for question in ("first wording", "second wording"):
            store.ask(question, ["x", "y", "z"], prompted=[1, 2, 3], cited=[1])
    (verdict,) = why(tmp_path / "traces.db", "first wording", "x")
    assert verdict.lent > 0.5
    parts = verdict.prior + sum(reason.log_odds for reason in verdict.reasons) + verdict.lent
    assert verdict.log_odds == pytest.approx(parts + sum(verdict.corrections.values()), abs=0.005)
    assert verdict.belief == pytest.approx(1 / (1 + math.exp(-verdict.log_odds)), abs=1e-4)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_build_names_clicks_that_are_thrown_by_dice_or_inverted_as_weak(tmp_path, inverted):
    chance = random.Random(2)
    with TraceStore(tmp_path / "traces.db") as store:
        for turn in range(240):
            good, user = f"a{turn % 40}", f"u{turn % 30}"
            ranked = [good, f"b{turn % 40}", f"c{turn % 40}"]
            chance.shuffle(ranked)
            cited = [
                n for n, chunk in enumerate(ranked, 1) if chance.random() < (0.9 if chunk == good else 0.02)
            ]
            places = {"prompted": [1, 2, 3], "shown": [1, 2, 3]}
            asked = store.ask(f"question {turn % 40}", ranked, cited=cited, user_id=user, **places)
            clicked = chance.choice([chunk for chunk in ranked if not inverted or chunk != good])
            store.signal(asked, "click", clicked, subject=user)
    report = build(tmp_path / "traces.db", tmp_path / "data")
    assert 0 <= report.trust["opening"]["log_likelihood_ratio"] < 0.4
    (warning,) = [text for text in report.warnings if "hardly tells" in text]
    assert "opened: learned 0." in warning
    assert "cited" not in warning
    assert warning.endswith(f"ragwheel grade --db {tmp_path / 'traces.db'}")
    card = (tmp_path / "data" / "README.md").read_text()
    assert "\n* cited: learned " in card
    assert "from your traces; found to say little\n" in card


def test_a_recalibration_finds_the_shift_and_the_slope_of_beliefs_that_are_off():
    chance = np.random.default_rng(1)
    log_odds = chance.uniform(-5, 5, 4_000)
    relevant = chance.random(4_000) < 1 / (1 + np.exp(-(0.8 + 0.6 * log_odds)))
    fitted = fit_recalibration(1 / (1 + np.exp(-log_odds)), relevant.astype(float))
    assert fitted.intercept == pytest.approx(0.8, abs=0.15)
    assert fitted.slope == pytest.approx(0.6, abs=0.06)
    assert fitted.judged == 4_000


def test_few_judgments_move_a_recalibration_little_and_never_turn_the_order_round():
    few = fit_recalibration(np.array([0.9, 0.1]), np.array([0.0, 1.0]))
    assert few.slope > 0.5
    wrong = fit_recalibration(np.tile([0.99, 0.01], 200), np.tile([0.0, 1.0], 200))
    assert wrong.slope > 0
    assert np.all(np.diff(wrong.of(np.linspace(0, 1, 50))) >= 0)


def test_no_judgments_change_no_belief():
    belief = np.array([0.01, 0.5, 0.99])
    assert Recalibration().of(belief) == pytest.approx(belief)
    assert fit_recalibration(np.zeros(0), np.zeros(0)) == Recalibration()


def test_right_beliefs_show_the_error_that_chance_explains_and_more_pairs_less():
    chance = np.random.default_rng(2)
    belief = chance.random(4_000)
    fifty = np.mean(
        [
            reliability_of(part.tolist(), (chance.random(50) < part).tolist())["calibration_error"]
            for part in belief.reshape(80, 50)
        ]
    )
    assert error_by_chance(belief[:50]) == pytest.approx(fifty, abs=0.02)
    assert error_by_chance(belief) < fifty / 4


def shifted(path, judged: int, *, evalset: bool = False) -> None:
    """Write 150 questions whose answers cite two of three chunks, few of which people find relevant."""
    chance = random.Random(7)
    with TraceStore(path) as store:
        for turn in range(150):
            chunks = [f"{letter}{turn}" for letter in "abc"]
            store.ask(f"question {turn}", chunks, prompted=[1, 2, 3], cited=[1, 2])
            for chunk in chunks[:2]:
                grade = 5 if chance.random() < 0.3 else 0
                if turn < judged // 2:
                    judge = "evalset:gold" if evalset else "ann"
                    store.judge(f"question {turn}", chunk, grade, judge=judge)


@pytest.fixture(scope="module")
def judged_build(tmp_path_factory):
    """A build of a store whose cited chunks are relevant in three of ten cases, of which 120 were judged."""
    folder = tmp_path_factory.mktemp("shifted")
    shifted(folder / "traces.db", 120)
    return folder, build(folder / "traces.db", folder / "data")


def test_beliefs_of_chunks_that_were_not_judged_follow_the_judgments_of_others(judged_build):
    folder, report = judged_build
    after = report.reliability["recalibrated"]
    assert after["calibration_error"] < report.reliability["calibration_error"]
    (verdict,) = why(folder / "traces.db", "question 140", "a140")
    used = verdict.model.recalibration
    assert used is not None
    assert used.judged == 120
    parts = [verdict.prior, *(reason.log_odds for reason in verdict.reasons), *verdict.corrections.values()]
    assert verdict.log_odds == pytest.approx(sum(parts) + verdict.lent, abs=0.01)
    assert verdict.belief == pytest.approx(1 / (1 + math.exp(-verdict.log_odds)), abs=1e-3)
    words = "as people's judgments of other chunks say"
    assert verdict.corrections_in_words[words] == verdict.corrections["calibration"] != 0


def test_a_policy_can_leave_beliefs_as_they_are(judged_build):
    folder, _report = judged_build
    policy = load_policy()
    learning = policy.learning.model_copy(update={"recalibrate": False})
    (verdict,) = why(
        folder / "traces.db", "question 140", "a140", policy=policy.model_copy(update={"learning": learning})
    )
    assert verdict.model.recalibration is None
    assert "calibration" not in verdict.corrections


def test_evaluation_sets_say_nothing_about_how_often_a_belief_is_right(tmp_path):
    """They list what is relevant and are silent about the rest."""
    shifted(tmp_path / "traces.db", 120, evalset=True)
    assert build(tmp_path / "traces.db", tmp_path / "data").reliability == {"judged": 0}
