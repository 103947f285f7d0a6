"""Grades beside the traces of another tool: what its API takes, and no loop when it is imported again."""

from __future__ import annotations

import json

import pytest

from ragwheel.errors import ConfigurationError
from ragwheel.exporting import export_annotations
from ragwheel.importing import import_traces
from ragwheel.testing import TraceStore


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "traces.db") as traces:
        for _ in range(4):
            traces.ask("how do I reset it?", ["reset", "length", "billing"], cited=[1], prompted=[1, 2, 3])
        yield traces


def test_openinference_names_span_and_position_of_every_graded_passage(store, tmp_path):
    counts = export_annotations(store.path, "openinference", tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())["data"]
    assert counts["graded passages"] == len(data) > 0
    best = [one for one in data if one["document_position"] == 0]
    assert len({one["span_id"] for one in best}) == 4
    assert all(len(one["span_id"]) == 16 and one["annotator_kind"] == "CODE" for one in data)
    assert all(0 <= one["result"]["score"] <= 1 and one["result"]["explanation"] for one in data)


def test_langfuse_scores_have_ids_that_follow_from_the_content(store, tmp_path):
    for name in ("a.json", "b.json"):
        export_annotations(store.path, "langfuse-scores", tmp_path / name)
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    batch = json.loads((tmp_path / "a.json").read_text())["batch"]
    assert {event["type"] for event in batch} == {"score-create"}
    assert len({event["body"]["id"] for event in batch}) == len(batch)
    assert all(len(event["body"]["traceId"]) == 32 for event in batch)


def test_our_own_annotations_are_nobodys_judgment_when_they_come_back(store, tmp_path):
    export_annotations(store.path, "openinference", tmp_path / "a.json")
    report = import_traces(store.path, [tmp_path / "a.json"])
    assert not report.new
    assert any("not used" in reason for reason in report.left_out)


def test_an_unknown_format_is_refused(store, tmp_path):
    with pytest.raises(ConfigurationError, match="allowed: openinference, langfuse-scores"):
        export_annotations(store.path, "arize", tmp_path / "a.json")
