"""The faults that tests once let pass are still faults of the code; scores stand where people read them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
BY_HAND = tomllib.loads((ROOT / "tools/mutants/by_hand.toml").read_text(encoding="utf-8"))["mutant"]


@pytest.mark.parametrize("fault", BY_HAND, ids=lambda fault: fault["rule"])
def test_a_fault_of_by_hand_can_be_put_into_the_code(fault):
    """Where the code has changed, the entry follows it: it names each rule that a test must hold."""
    source = (ROOT / "src/ragwheel" / fault["path"]).read_text(encoding="utf-8")
    assert source.count(fault["old"]) == 1
    compile(source.replace(fault["old"], fault["new"]), fault["path"], "exec")


def test_contributing_has_the_recorded_scores():
    """``make mutants ARGS=--table`` prints them."""
    recorded = json.loads((ROOT / "tools/mutants/scores.json").read_text(encoding="utf-8"))
    rows = [f"| {name} | {s['mutants']} | {s['noticed']} | {s['floor']} % |" for name, s in recorded.items()]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [row for row in rows if row not in text] == []
