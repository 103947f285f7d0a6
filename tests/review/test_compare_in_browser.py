"""Comparing two systems by keys in a real Chromium: no reload, undo, nothing lost, nothing hostile runs."""

from __future__ import annotations

import pytest

from ragwheel.testing import TraceStore

QUESTIONS = 8


@pytest.fixture
def db(tmp_path):
    """Questions that two versions of a retriever have ranked for, each in another order."""
    path = tmp_path / "two.db"
    with TraceStore(path) as store:
        store._run("INSERT INTO _retriever VALUES (2, 1, 'kb', '<b>v2</b>', '')")
        for n in range(QUESTIONS):
            chunks = [f"doc{n}-{k}" for k in range(4)]
            for chunk in chunks:
                store.chunk(chunk, f"<script>alert(1)</script> text of {chunk}")
            store.ask(f"<i>question</i> {n}?", chunks)
            store.retrieve(f"<i>question</i> {n}?", chunks[::-1])
            store._run("UPDATE _retrieval SET retriever_id = 2 WHERE id = (SELECT max(id) FROM _retrieval)")
    return path


def opened(tab, server, rater="ann"):
    address = server.address.replace("/grade?", f"/compare?as={rater}&")
    page = tab(address)
    page.wait_for_selector("#card .sides")
    page.evaluate("window.never_reloaded = true")
    return page


def saved(page):
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")


def question(page):
    page.wait_for_selector("#card .sides")
    return page.inner_text("#question")


def press(page, key):
    before = question(page)
    page.keyboard.press(key)
    return before


def preferences(make, db):
    return {row[2]: row[4] for row in make.reviews(db) if row[0] == "prefer"}


def test_all_questions_are_compared_by_keys_without_a_reload_and_the_result_comes_in(serve, db, tab, make):
    server = serve(db)
    page = opened(tab, server)
    # v1 ranks chunk 0 first: whichever side that is
    answered = []
    for _ in range(QUESTIONS - 1):
        side = (
            0 if page.locator(".sides section").nth(0).locator(".source").first.inner_text()[-1] == "0" else 1
        )
        answered.append(press(page, "ab"[side]))
    answered.append(press(page, "t"))
    page.wait_for_function("() => document.getElementById('question').textContent.includes('every question')")
    saved(page)
    assert page.evaluate("window.never_reloaded")
    assert len(set(answered)) == QUESTIONS
    kept = preferences(make, db)
    assert [kept[text] for text in answered] == [kept[answered[0]]] * (QUESTIONS - 1) + ["tie"]
    counted = "n => document.getElementById('tally').innerText.includes(` on ${n}`)"
    page.wait_for_function(counted, arg=QUESTIONS - 1)
    tally = page.inner_text("#tally")
    assert "95 % interval" in tally
    assert "is preferred" in tally
    times = page.evaluate("performance.getEntriesByName('next card').map(entry => entry.duration)")
    assert len(times) == QUESTIONS
    again = opened_at_end(tab, server, page)
    again.keyboard.press("u")  # the last answer of an earlier sitting
    assert question(again) == answered[-1]
    saved(again)
    assert answered[-1] not in preferences(make, db)


def opened_at_end(tab, server, page):
    again = tab(f"{server.url}/compare?as=ann", context=page.context)
    again.wait_for_function(
        "() => document.getElementById('question').textContent.includes('every question')"
    )
    return again


def test_undo_as_often_as_you_like_and_skipped_questions_come_with_the_next_visit(serve, db, tab, make):
    server = serve(db)
    page = opened(tab, server)
    skipped, first, second = press(page, "s"), press(page, "a"), press(page, "b")
    for before in (second, first, skipped):
        page.keyboard.press("u")
        assert question(page) == before
    saved(page)
    assert preferences(make, db) == {}
    page.keyboard.press("u")
    assert "Nothing to undo" in page.inner_text("#notice")
    assert press(page, "s") == skipped
    again = tab(f"{server.url}/compare?as=ann", context=page.context)
    assert question(again) == skipped


def test_a_server_lost_in_the_middle_loses_no_preference(serve, db, tab, make):
    server = serve(db, process=True)
    page = opened(tab, server)
    first = press(page, "a")
    saved(page)
    server.kill()
    lost = press(page, "b")
    page.wait_for_selector("#notice:not([hidden])")
    assert "kept in this browser" in page.inner_text("#notice")
    server.again()
    saved(page)
    assert set(preferences(make, db)) == {first, lost}


def test_a_preference_that_cannot_be_read_is_refused_and_the_others_are_kept(serve, db, make):
    server = serve(db)
    good = {"rater": "ann", "query": "q", "first": "kb v1", "second": "kb v2", "value": "first", "at": 1}
    wrong: list[dict[str, object]] = [
        {"value": "third"},
        {"query": " "},
        {"rater": None},
        {"first": 5},
        {"at": "now"},
        {"second": "x" * 20_000},
    ]
    events = [{**good, **fields, "id": f"bad{n}"} for n, fields in enumerate(wrong)] + [
        {**good, "id": "good"}
    ]
    with server.client() as client:
        results = client.post("/api/prefer", json={"events": events}).json()["results"]
        assert results.pop("good") == "saved"
        assert all(result.startswith("refused: ") for result in results.values()), results
        assert len(results) == len(wrong)
        assert preferences(make, db) == {"q": "first"}
        for body in ({}, {"rater": "ann", "held": 5}, {"rater": "ann", "held": [], "first": 7, "n": "x"}):
            assert client.post("/api/compare", json=body).status_code in {200, 400}
