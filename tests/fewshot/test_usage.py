"""Which examples were in which turns, how those were received, and which are retired for it."""

from __future__ import annotations

import itertools
import json

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.fewshot.helpers import liked, questions

import ragwheel
from ragwheel import fewshot
from ragwheel.errors import ConfigurationError
from ragwheel.fewshot.usage import RotationOptions
from ragwheel.store import open_store

BUILD = fewshot.FewshotOptions(n=8, unusual_share=0)
DAY_NS = 86_400 * 1_000_000_000


@pytest.fixture
def library(full):
    return fewshot.build(full.path, BUILD)


def young(**changes):
    """Options at a time when nothing is old."""
    return RotationOptions(**{"now_ns": 1_700_010_000_000_000_000, **changes})


def use(traces, ids, *, like=None):
    """A turn with these examples in its prompt."""
    turn = traces.ask("what about something else entirely", ["d"])
    traces._run(
        "UPDATE _turn SET flags = ? WHERE id = (SELECT max(id) FROM _turn)",
        json.dumps(["x", f"fewshot: {' '.join(ids)}"]),
    )
    if like is not None:
        traces.signal(turn, "thumbs_up" if like else "thumbs_down", of_answer=True)


def test_what_an_app_says_is_counted(tmp_path, library):
    db = tmp_path / "other.db"
    ragwheel.configure(db=str(db))
    one, two, *_ = library.examples
    with ragwheel.turn("q1") as turn:
        turn.examples([one, {"id": two.id}])
        turn.answer("a1")
    assert ragwheel.signal(turn.handle, "thumbs_up")
    with ragwheel.turn("q2") as turn:
        turn.examples(["replaced"])
        turn.examples(one.id)
        turn.answer("a2")
    with ragwheel.turn("q3") as late:
        late.answer("a3")
    late.examples(example.id for example in (one, one))  # said after the turn, from a generator
    assert ragwheel.signal(late.handle, "thumbs_down")
    assert ragwheel.flush()
    found = fewshot.usage(db, library)
    assert (found[one.id].used, found[one.id].liked, found[one.id].disliked) == (3, 1, 1)
    assert (found[two.id].used, found[two.id].liked, found[two.id].disliked) == (1, 1, 0)
    assert found[one.id].last_ns > found[two.id].last_ns
    assert found[library.examples[2].id] == fewshot.Usage()


def test_ids_that_are_none_are_flagged_and_the_app_goes_on(tmp_path):
    db = tmp_path / "other.db"
    ragwheel.configure(db=str(db))
    with ragwheel.turn("q") as turn:
        turn.examples(["fine", "not one", None, object(), "x" * 65, 7])
    with ragwheel.turn("q") as turn:
        turn.examples(["fine"])
        turn.examples([])
    assert ragwheel.flush()
    connection = open_store(db)
    flags = [
        json.loads(row[0] or "[]") for row in connection.execute("SELECT flags FROM turns ORDER BY start_ns")
    ]
    connection.close()
    assert flags == [["bad_example_id", "fewshot: fine 7"], []]


def test_nothing_had_its_time(full, library):
    done = fewshot.rotate(full.path, library, young())
    assert done.retired == done.added == ()
    assert done.library == library


def test_stale_ones_are_retired_with_a_reason_and_others_picked(full, library):
    newer = max(one.asked_ns for one in library.examples) + 1
    for n, (topic, question) in enumerate(itertools.islice(questions(), 100, 140)):
        full.now_ns = max(full.now_ns, newer + 30 * DAY_NS)
        liked(full, question, chunk=topic, user_id=f"v{n}")
    done = fewshot.rotate(full.path, library, young(max_age_days=20, now_ns=full.now_ns), BUILD)
    assert len(done.retired) == 8
    assert all(one.reason.startswith("stale: 3") and one.reason.endswith("days old") for one in done.retired)
    assert len(done.added) == 8
    assert not {one.id for one in done.added} & {one.id for one in library.examples}
    assert done.library.retired == done.retired
    again = fewshot.rotate(full.path, done.library, young(max_age_days=20, now_ns=full.now_ns), BUILD)
    assert again.retired == ()
    assert again.library.retired == done.retired


def test_a_cited_chunk_with_a_newer_text_makes_its_example_stale(full, library):
    keys = [one for one in library.examples if "key" in one.question]
    full.now_ns += DAY_NS
    full.chunk("keys", "Keys are rotated somewhere else now.")
    done = fewshot.rotate(full.path, library, young(refill=False))
    assert {one.example.id for one in done.retired} == {one.id for one in keys}
    assert {one.reason for one in done.retired} == {"stale: a chunk that its answer cites has a newer text"}
    assert len(done.library.examples) == 8 - len(keys)


def test_overused_and_badly_received(full, library):
    bad, often, *others = library.examples
    for n in range(12):
        use(full, [bad.id], like=n == 0)
        use(full, [others[0].id], like=True)
        use(full, [often.id])
        use(full, [often.id])
    options = young(max_share=0.4, least_turns=40)
    done = fewshot.rotate(full.path, library, options, BUILD)
    reasons = {one.example.id: one.reason for one in done.retired}
    assert reasons == {
        bad.id: "badly received: liked in 1 of 12 turns, 54% usual",
        often.id: "overused: in 24 of 48 turns with examples",
    }
    assert len(done.library.examples) == 8
    assert not {bad.id, often.id} & {one.id for one in done.library.examples}
    assert [one.id for one in done.library.examples[:6]] == [one.id for one in others]


@pytest.mark.parametrize("turns", range(10, 61, 5))
def test_an_example_that_was_liked_every_time_is_not_badly_received(full, library, turns):
    good = library.examples[0]
    for _ in range(turns):
        use(full, [good.id], like=True)
    done = fewshot.rotate(full.path, library, young(max_share=1.0))
    assert good.id not in {one.example.id for one in done.retired}


def test_without_anything_to_pick_from_the_rest_stays(full, library):
    full._run("DELETE FROM _signal")
    done = fewshot.rotate(full.path, library, young(max_age_days=1e-9))
    assert len(done.retired) == 8
    assert done.added == ()


def test_options_that_cannot_be():
    with pytest.raises(ConfigurationError, match="rotate: got max_age_days=0"):
        RotationOptions(max_age_days=0)
    with pytest.raises(ConfigurationError, match="a share above 0"):
        RotationOptions(max_share=0)


def test_the_span_of_a_turn_carries_the_ids_too(tmp_path):
    spans = InMemorySpanExporter()
    ragwheel.configure(db=str(tmp_path / "app.db"), exporters=(SimpleSpanProcessor(spans),))
    with ragwheel.turn("q") as turn:
        turn.examples(["a1", "b2"])
    with ragwheel.turn("q"):
        pass
    named, silent = (span.attributes for span in spans.get_finished_spans())
    assert named["ragwheel.fewshot.example_ids"] == ("a1", "b2")
    assert "ragwheel.fewshot.example_ids" not in silent
