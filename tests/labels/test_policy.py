"""The policy file: what it may say, and what is said to whoever gets it wrong."""

from __future__ import annotations

from importlib.resources import files

import pytest

from ragwheel.errors import ConfigurationError
from ragwheel.labels.evidence.kinds import CHANNELS, KINDS
from ragwheel.labels.policy import load_policy
from ragwheel.labels.strategies import STRATEGIES


def test_packaged_policy_speaks_of_every_kind_and_channel():
    policy = load_policy()
    assert set(policy.weights) == {name for name, kind in KINDS.items() if kind.channel}
    assert set(policy.channels) == set(CHANNELS)
    assert set(policy.repeats) == set(CHANNELS)
    named = {kind.strategy for kind in KINDS.values() if kind.direction <= 0}
    assert named | set(policy.mining.confidence) == set(STRATEGIES)


def test_a_copy_of_the_packaged_file_changes_nothing(tmp_path):
    copy = tmp_path / "policy.toml"
    copy.write_text(files("ragwheel.labels").joinpath("policy.toml").read_text("utf-8"), "utf-8")
    assert load_policy(copy) == load_policy()


def test_what_a_file_leaves_out_stays(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[weights]\nclick = 0\n")
    policy = load_policy(file)
    assert policy.weights["click"] == 0
    assert policy.weights["cited"] == load_policy().weights["cited"]


def test_policy_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_policy().grading.min_subjects = 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[weights]\nclicks = 1", r"\[weights\] has no 'clicks'; allowed: cited, click, "),
        ("[weights]\njudged_human = 1", "has no 'judged_human'"),
        ("[channels]\nmood = 1", r"\[channels\] has no 'mood'; allowed: citation, "),
        ("[grading]\npriors = 0.4", "there is no grading.priors; allowed here: precision_of_positives, "),
        ("[grade]\nprior = 0.4", "there is no grade; allowed here: version, weights"),
        ("[prior]\nunranked = 1.5", r"prior.unranked: .* less than 1 \(got 1.5\)"),
        ("[grading]\nprecision_of_positives = 1", "grading.precision_of_positives: .* less than 1"),
        ("[grading]\nprecision_of_negatives = 0.4", "grading.precision_of_negatives: "),
        ("[learning]\ninformed = 0", "learning.informed: "),
        ("[prior]\nslope = 1", "prior.slope: .*less than or equal to 0"),
        ("[weights]\nclick = -1", r"weights.click: .*\(got -1\)"),
        ("[weights]\nclick = nan", "weights.click"),
        ("[dwell]\nbounce_s = 'long'", "dwell.bounce_s: .*got 'long'"),
        ("version = 2", r"version: .*\(got 2\)"),
        ("weights = 3", "weights: "),
        ("not toml", "cannot be read: .*Expected TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_policy(file)
    assert str(file) in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_policy(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_policy(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    "text",
    [
        "[mining.confidence]\nminde = 0.9\n",
        "[mining.confidence]\njudged = 0.9\n",
        "[repeats]\nclicks = 0.1\n",
    ],
)
def test_a_mistyped_key_of_any_table_is_refused_with_what_is_allowed(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text, "utf-8")
    name = text.split("\n")[1].split(" ")[0]
    with pytest.raises(ConfigurationError, match=rf"has no '{name}'; allowed: ") as refused:
        load_policy(file)
    assert text.split("]")[0].strip("[") in str(refused.value)
