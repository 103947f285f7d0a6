"""What the person at the keyboard types, and what the wheel makes of it."""

from __future__ import annotations

import pytest

import ragwheel
from ragwheel import offline
from ragwheel.demo import Corpus, Passage, Query
from ragwheel.demo.desk import Desk, DeskError, VisitorCommand, parse_command
from ragwheel.demo.run import DemoOptions, app_retriever, wrapped_retriever

CORPUS = Corpus(
    "drinks",
    (
        Passage("tea", "Tea", "Green tea is made of leaves in hot water."),
        Passage("coffee", "Coffee", "Coffee is made of roasted beans and hot water."),
        Passage("milk", "Milk", "Milk comes from a cow, cold or hot."),
        Passage("stone", "Stone", "Granite lies in the garden."),
    ),
    (Query("q", "hot water leaves", frozenset({"tea"})),),
)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("o 3", VisitorCommand("open", (3,))),
        ("O3", VisitorCommand("open", (3,))),
        ("c 1 3", VisitorCommand("cite", (1, 3))),
        ("c 1,3,1", VisitorCommand("cite", (1, 3))),
        ("d 2", VisitorCommand("delete", (2,))),
        ("m 2", VisitorCommand("more", (2,))),
        ("+", VisitorCommand("up")),
        ("- 2", VisitorCommand("down", (2,))),
        ("q", VisitorCommand("quit")),
        ("?", VisitorCommand("help")),
        ("   ", VisitorCommand("nothing")),
        ("open a file for writing", VisitorCommand("ask", text="open a file for writing")),
        ("c 3 is what?", VisitorCommand("ask", text="c 3 is what?")),
    ],
)
def test_lines(line, command):
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "says"), [("o", "needs the number"), ("c", "needs the number"), ("o 1 2", "one number")]
)
def test_commands_that_lack_something(line, says):
    with pytest.raises(DeskError, match=says):
        parse_command(line)


@pytest.fixture
def db(tmp_path):
    path = tmp_path / "yours.db"
    ragwheel.configure(db=path)
    return path


def desk(*, timed: bool, clock=lambda: 0.0) -> Desk:
    options = DemoOptions(k=3)
    return Desk(wrapped_retriever(options, app_retriever(options, CORPUS)), "visit-1", timed, clock)


def test_a_visit_is_recorded_as_what_it_means(db):
    now = iter([10.0, 17.5])
    visitor = desk(timed=True, clock=lambda: next(now))
    found = visitor.ask("hot water leaves")
    assert found[0].id == "tea"
    visitor.do(VisitorCommand("open", (1,)))
    visitor.do(VisitorCommand("delete", (3,)))
    visitor.do(VisitorCommand("cite", (1,)))
    visitor.do(VisitorCommand("up"))
    visitor.close()
    ragwheel.shutdown()

    turn = offline.show(db)
    assert turn.query == "hot water leaves"
    assert turn.answer == "The answer is in [1]."
    assert [(c.chunk_id, c.matched) for c in turn.citations] == [("tea", True)]
    did = {(signal.kind, signal.chunk_id, signal.value) for signal in turn.signals}
    assert did >= {("click", "tea", None), ("dwell", "tea", 7.5), ("thumbs_up", None, None)}
    assert ("delete", found[2].id, None) in did
    assert {chunk.exposure for chunk in turn.retrievals[0].chunks} == {"shown"}


def test_a_pipe_has_no_reading_time(db):
    visitor = desk(timed=False)
    visitor.ask("hot water leaves")
    visitor.do(VisitorCommand("open", (1,)))
    visitor.close()
    ragwheel.shutdown()
    assert [signal.kind for signal in offline.show(db).signals] == ["click"]


def test_a_turn_without_a_citation_has_no_answer(db):
    visitor = desk(timed=False)
    visitor.ask("hot water leaves")
    visitor.close()
    ragwheel.shutdown()
    assert offline.show(db).answer is None


def test_passages_that_are_not_there(db):
    visitor = desk(timed=False)
    with pytest.raises(DeskError, match="ask a question first"):
        visitor.do(VisitorCommand("open", (1,)))
    visitor.ask("granite garden")
    with pytest.raises(DeskError, match="allowed: 1 to 1"):
        visitor.do(VisitorCommand("open", (9,)))
    visitor.close()
