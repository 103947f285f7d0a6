"""A kind of signal, a negative strategy and an export format are each described in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ragwheel.kinds import ATTENTION, BUILT_IN, FAVOURABLE, UBI_ACTIONS, evaluation_score, unit_of

SOURCES = Path(__file__).parents[2] / "src" / "ragwheel"


def lists_of_names(path: Path) -> list[set[str]]:
    """The names in each tuple, list or set of a module that has strings only."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            values = [item.value for item in node.elts if isinstance(item, ast.Constant)]
            found.append({value for value in values if isinstance(value, str)})
    return found


def test_no_other_module_lists_the_kinds_of_attention():
    """Whoever adds a kind of attention would have to know each such list."""
    repeated = [
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        for names in lists_of_names(path)
        if len(names & set(ATTENTION)) >= 4
    ]
    assert repeated == []


def test_what_is_derived_from_the_entries_is_what_they_say():
    by_name = {kind.name: kind for kind in BUILT_IN}
    assert set(ATTENTION) <= set(FAVOURABLE)
    assert all(by_name[kind].about.startswith("chunk") for kind in ATTENTION)
    assert len(UBI_ACTIONS) == sum(len(kind.ubi_actions) for kind in BUILT_IN), "an action means one kind"
    assert not UBI_ACTIONS.keys() & by_name.keys()
    assert (evaluation_score("thumbs_down", None), evaluation_score("rating", 3.0)) == (0.0, 3.0)
    assert (evaluation_score("click", None), evaluation_score("unheard of", 1.0)) == (None, None)
    assert (unit_of("dwell"), unit_of("click"), unit_of("unheard of")) == ("s", None, None)


def test_the_policy_is_checked_against_the_kinds_of_evidence_whole(monkeypatch):
    pytest.importorskip("ibis", reason="labels need the extra build")
    from pydantic import ValidationError

    from ragwheel.labels.evidence.kinds import KINDS, EvidenceKind
    from ragwheel.labels.policy import load_policy
    from ragwheel.labels.strategies import MINED

    policy = load_policy()
    assert set(policy.weights) == {name for name, kind in KINDS.items() if kind.channel}
    assert set(policy.mining.confidence) == set(MINED)
    monkeypatch.setitem(KINDS, "shared", EvidenceKind(+1, "opening", description="shared"))
    with pytest.raises(ValidationError, match=r"\[weights\] lacks 'shared'"):
        load_policy()


def test_every_format_can_be_written_by_what_its_entry_names():
    pytest.importorskip("ibis", reason="datasets need the extra build")
    from importlib import import_module

    from ragwheel.datasets import FORMATS
    from ragwheel.datasets.formats import ALWAYS_BUILT, EXPORT_FORMATS
    from ragwheel.exporting import DATASET_FORMATS

    for entry in EXPORT_FORMATS.values():
        module, _, function = entry.writer.partition(":")
        assert callable(getattr(import_module(f"ragwheel.datasets.formats.{module}"), function)), entry
    assert set(ALWAYS_BUILT) <= set(FORMATS) <= set(DATASET_FORMATS)
