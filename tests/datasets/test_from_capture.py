"""From a real app to a dataset: three added lines give rows."""

from __future__ import annotations

from contextlib import closing

import pyarrow.parquet as pq
import pytest

import ragwheel
from ragwheel.datasets import build, explain
from ragwheel.labels import why
from ragwheel.store import open_store

NOTES = {
    "reset": "To reset a password, open Settings, then Security.",
    "length": "Twelve characters or more are what every login needs.",
    "billing": "Invoices go out on the first day of each month.",
}
QUERY = "How do I reset my password?"


@pytest.fixture
def captured(tmp_path):
    """A database that a small app wrote, and the handles of its turn and retrieval."""
    path = tmp_path / "app.db"
    ragwheel.configure(path)

    @ragwheel.retriever
    def search(query):
        return [{"id": name, "text": text} for name, text in NOTES.items()]

    with ragwheel.turn(QUERY, session_id="s1", user_id="u1") as turn:
        search(turn.query)
        turn.answer("Open Settings, then Security [1].")
    assert ragwheel.signal(turn.handle, "thumbs_up")
    assert ragwheel.signal(turn.retrievals[-1].handle, "delete", chunk="billing")
    yield path
    ragwheel.shutdown()


def test_three_added_lines_give_triplets_with_reasons(captured, tmp_path):
    report = build(captured, tmp_path / "out")
    rows = pq.read_table(report.out / "triplets" / "train.parquet").to_pylist()
    assert {(row["anchor"], row["positive"]) for row in rows} == {(QUERY, NOTES["reset"])}
    assert {row["negative"] for row in rows} == {NOTES["billing"]}
    assert any("below 10" in warning for warning in report.warnings)
    (only,) = explain(report.out)
    assert only.strategy == "explicit_rejection"
    with closing(open_store(captured)) as connection:
        spans = {span for (span,) in connection.execute("SELECT span_id FROM spans")}
    assert {*only.span_ids} <= spans


def test_why_reads_what_was_captured(captured):
    (verdict,) = why(captured, QUERY, "length")
    assert verdict.status == "abstain"  # one answer that leaves a passage out says too little
    assert [reason.text for reason in verdict.reasons] == [
        "in the prompt and not cited once at rank 2 (exposure assumed)"
    ]
