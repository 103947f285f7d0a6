"""What was expected, and whether it was met."""

from __future__ import annotations

import pytest

from ragwheel.errors import ExperimentError
from ragwheel.experiments import Expectation, Gap, decide


@pytest.mark.parametrize(
    ("text", "amount", "relative"),
    [
        ("+15%", 0.15, True),
        ("15 %", 0.15, True),
        ("+.02", 0.02, False),
        ("-1%", -0.01, True),
        ("+0", 0, False),
    ],
)
def test_what_can_be_expected(text, amount, relative):
    found = Expectation.parse(text)
    assert found.amount == pytest.approx(amount)
    assert found.relative is relative


@pytest.mark.parametrize("text", ["", "better", "+15", "+2.5", "15%%", "1e3%", "+-2%"])
def test_what_cannot(text):
    with pytest.raises(ExperimentError, match="--expect is"):
        Expectation.parse(text)


def test_the_criterion_says_what_decides():
    assert "recall@10 lies wholly at or above +15.0% of the baseline's mean" in Expectation.parse(
        "+15%"
    ).criterion("recall@10")
    assert "wholly above 0;" in Expectation.parse("+0").criterion("MAP")
    assert Expectation.parse("+15%").required(0.4) == pytest.approx(0.06)
    assert Expectation.parse("+.02").required(0.4) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("gap", "given", "word", "why"),
    [
        (Gap(0.03, 0.01, 0.05), {}, "met", ""),
        (Gap(-0.03, -0.05, -0.01), {}, "not met", ""),
        (Gap(0.02, 0.0, 0.04), {}, "met", ""),
        (Gap(0.02, 0.0, 0.04), {"strict": True}, "can't tell", "more queries needed"),
        (Gap(0.0, 0.0, 0.0), {"strict": True}, "not met", "equal on every query"),
        (Gap(0.0, 0.0, 0.0), {}, "met", ""),
        (Gap(0.01, -0.01, 0.03), {}, "can't tell", "about 300 more queries needed"),
        (Gap(0.00001, -0.01, 0.01), {}, "can't tell", "more queries will hardly decide"),
        (Gap(0.03, 0.01, 0.05), {"certain": False}, "can't tell", "corrected for the number of variants"),
        (Gap(-0.03, -0.05, -0.01), {"certain": False}, "can't tell", "corrected for the number of variants"),
        (Gap(0.03, 0.01, 0.05), {"proof": "judge some"}, "can't tell", "judge some"),
        (Gap(-0.03, -0.05, -0.01), {"proof": "judge some"}, "not met", ""),
        (Gap(0.03, None, None), {}, "can't tell", "100 queries are too few"),
    ],
)
def test_verdicts(gap, given, word, why):
    found = decide(gap, 100, **given)
    assert found.word == word
    assert why in found.why
    assert str(found).startswith(word)
