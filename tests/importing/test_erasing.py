"""What was imported of a person can be erased like what was captured."""

from __future__ import annotations

from ragwheel.store import erase


def test_a_person_is_gone_with_turns_comments_and_the_ids_of_their_spans(imported, write, phoenix_trace):
    spans = phoenix_trace(trace="ab", **{"user.id": "ann"}) + phoenix_trace(trace="cd", **{"user.id": "bob"})
    notes = [
        {"span_id": span["context"]["span_id"], "name": "user_feedback", "annotator_kind": "HUMAN",
         "result": {"score": 1, "explanation": f"said {n}"}}
        for n, span in enumerate(spans[::2])
    ]  # fmt: skip
    imported(write("spans.jsonl", spans), write("notes.jsonl", notes))
    assert imported.rows("SELECT count(*) FROM _alias") == [(2,)]
    erase(imported.path, user="ann")
    assert imported.rows("SELECT user_id FROM turns") == [("bob",)]
    assert imported.rows("SELECT comment FROM signals") == [("said 1",)]
    assert imported.rows("SELECT count(*) FROM _alias") == [(1,)]
