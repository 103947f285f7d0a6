"""The first card waits for nothing: an order is there before the store is graded, and over a restart."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from contextlib import closing

import pytest

from ragwheel.labels import pipeline
from ragwheel.review.diagram import reliability_diagram
from ragwheel.review.first_pairs import first_pairs
from ragwheel.store import erase, open_store
from ragwheel.store.review_order import PairPlace, newest_places, pairs_at, save_order, saved_order
from ragwheel.testing import TraceStore


@pytest.fixture
def grading(monkeypatch):
    """Grading waits until this event is set."""
    allowed, real = threading.Event(), pipeline.grade_store

    def patient(*args, **kwargs):
        allowed.wait(150)
        return real(*args, **kwargs)

    monkeypatch.setattr(pipeline, "grade_store", patient)
    yield allowed
    allowed.set()


def following(client, *, n=20, held=()):
    return client.post("/api/next", json={"rater": "ann", "held": [*held], "n": n}).json()


def names(cards):
    return [(card["query"], card["chunk"]) for card in cards]


def grade(client, cards, number=4):
    events = [
        {
            "id": f"e{n}", "rater": "ann", "action": "grade", "grade": number, "query": card["query"],
            "source": card["source"], "chunk": card["chunk"], "hash": card["hash"],
            "at": 1_700_000_000_000 + n,
        }
        for n, card in enumerate(cards)
    ]  # fmt: skip
    results = client.post("/api/say", json={"rater": "ann", "events": events}).json()["results"]
    assert set(results.values()) == {"saved"}


def test_cards_come_before_the_store_is_graded_and_what_is_said_of_them_counts(grading, serve, db, make):
    with serve(db).client() as client:
        early = following(client, n=3)
        assert len(early["cards"]) == 3
        assert not early["ready"]
        assert " of 5)" in early["stage"]
        grade(client, early["cards"])
        undoable = client.post("/api/last", json={"rater": "ann"}).json()["cards"]
        assert names(undoable) == names(early["cards"])
        grading.set()
        later = make.eventually(lambda: (found := following(client, n=30))["ready"] and found)
        assert later["order"] > early["order"]
        assert (later["done"], later["whole"]) == (3, 48)
        assert not set(names(later["cards"])) & set(names(early["cards"]))


def test_a_restart_goes_on_in_the_order_that_was_computed(serve, db, make, request):
    first = serve(db)
    first.ready()
    with first.client() as client:
        computed = names(following(client)["cards"])
    first.close()
    request.getfixturevalue("grading")  # from here on, nothing is graded
    with serve(db).client() as client:
        again = following(client)
        assert not again["ready"]
        assert names(again["cards"]) == computed


def test_the_page_goes_over_to_the_computed_order_and_keeps_the_card_on_screen(grading, serve, db, tab):
    page = tab(serve(db).address)
    page.wait_for_selector("#card .card")
    shown = page.inner_text("#card .source")
    assert "In the background:" in page.inner_text("#count")
    grading.set()
    page.get_by_text("0 of 48 pairs").wait_for()
    assert page.inner_text("#card .source") == shown
    page.keyboard.press("4")
    page.get_by_text("1 of 48 pairs").wait_for()


def test_a_store_that_changed_is_graded_again_and_fifty_grades_draw_the_diagram(serve, make, tmp_path):
    server = serve(make.fill(tmp_path / "app.db", questions=52, chunks=1))
    server.ready()
    with server.client() as client:
        while cards := following(client, n=30)["cards"]:
            grade(client, cards)

        def drawn():
            html = client.get("/agreement?as=ann").text
            return 'class="reliability"' in html and html

        assert "Of 52 pairs that people graded" in make.eventually(drawn)


def test_what_complains_comes_first_and_what_is_erased_does_not_come(tmp_path):
    db = tmp_path / "app.db"
    with TraceStore(db) as store:
        for name in "abc":
            store.chunk(name, f"text {name}")
        store.ask("quiet?", ["a"], user_id="u1")
        store.signal(store.ask("loud?", ["b", "c"], user_id="u2"), "thumbs_down")
        store.ask("new?", ["c"], user_id="u3")
    with closing(open_store(db)) as connection:
        places = newest_places(connection, retrievals=10, depth=2)
        pairs = [(pair.query, pair.chunk_id) for pair in pairs_at(connection, places)]
        assert pairs == [("loud?", "b"), ("new?", "c"), ("quiet?", "a"), ("loud?", "c")]
        assert (
            pairs_at(
                connection, [PairPlace("0" * 16, 1, "sure"), PairPlace(places[0].retrieval_id, 9, "sure")]
            )
            == []
        )
    save_order(db, "grade", places[::-1])
    save_order(db, "check", places[:1])
    assert [pair.query for pair in first_pairs(db)] == ["loud?", "quiet?", "new?", "loud?"]
    assert [pair.chunk_id for pair in first_pairs(db, check=True)] == ["b"]
    erase(db, user="u2")
    assert saved_order(db, "grade") == []
    assert [pair.query for pair in first_pairs(db)] == ["new?", "quiet?"]


def test_an_order_that_cannot_be_read_is_none(tmp_path):
    with TraceStore(tmp_path / "app.db") as store:
        store.chunk("a", "text")
        store.ask("old?", ["a"])
    save_order(tmp_path / "app.db", "grade", [PairPlace("00", 1, "sure")])
    (file,) = (tmp_path / "app.db.segments").glob("review-order")
    for content in (b"", b"[]", b"\xff\x00", b'{"grade": [[1]]}'):
        file.write_bytes(content)
        assert [pair.query for pair in first_pairs(tmp_path / "app.db")] == ["old?"]


def test_the_diagram_puts_points_where_they_belong_and_says_them():
    rows = [
        {"from": 0.0, "to": 0.2, "pairs": 40, "belief": 0.1, "relevant": 0.0},
        {"from": 0.8, "to": 1.0, "pairs": 10, "belief": 1.0, "relevant": 1.0},
    ]
    picture = ET.fromstring(str(reliability_diagram(rows, rows[:1])))
    points = [
        (node.get("class"), float(node.get("cx")), float(node.get("cy"))) for node in picture.iter("circle")
    ]
    (few, _, bottom), (_, right, top), (hollow, *_) = points
    assert (few, hollow) == ("before", "after")
    line = next(node for node in picture.iter("line") if node.get("class") == "right")
    assert (bottom, right, top) == tuple(float(line.get(name)) for name in ("y1", "x2", "y2"))
    assert "believed 10%, relevant 0% of 40" in picture.get("aria-label")
    assert reliability_diagram([]).startswith("<svg")
