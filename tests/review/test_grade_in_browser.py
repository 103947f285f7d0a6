"""Grading by keys in a real Chromium: nothing said is lost, nothing hostile runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragwheel.judgments.queue import open_pairs
from ragwheel.testing import TraceStore

EVIL = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>{name} [a](javascript:alert(3)) \x00\x1b[31m \u202e"
)
EVIL += "\n\n![i](http://evil.example/i.png) <http://evil.example> <svg onload=alert(4)>"
EVIL += "\n\n| a | b |\n|:--|--:|\n| 1 | 2 |"


def card(page):
    """The id of the chunk on screen, once there is one."""
    page.wait_for_selector("#card .card")
    return page.inner_text("#card .source").split(" · ")[1]


def press(page, key):
    """Press a key and return the chunk it was about."""
    before = card(page)
    page.keyboard.press(key)
    return before


def saved(page):
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")


def test_thirty_cards_by_keys_are_saved_in_order_and_the_next_sitting_goes_on(serve, db, tab, make):
    server = serve(db)
    server.ready()
    page = tab(server.address)
    keys = [str(n % 6) for n in range(30)]
    pressed = [(press(page, key), float(key)) for key in keys]
    saved(page)
    assert [(chunk, grade) for _, chunk, grade, _, _ in make.judgments(db)] == pressed
    assert len({chunk for chunk, _ in pressed}) == 30
    page.wait_for_function("() => document.getElementById('count').textContent.includes('30 of 48')")
    again = tab(server.address)
    assert card(again) not in {chunk for chunk, _ in pressed}
    again.keyboard.press("u")
    assert card(again) == pressed[-1][0]
    saved(again)
    assert len(make.judgments(db)) == 29


def test_the_question_stays_in_sight_and_its_change_is_said(serve, db, tab):
    server = serve(db)
    server.ready()
    page = tab(server.address)
    seen = {}
    for _ in range(12):
        press(page, "3")
        seen.setdefault(page.inner_text("#question"), []).append(page.inner_text("#question-label").lower())
        assert page.is_visible("#question")
    assert len(seen) > 2
    for labels in list(seen.values())[1:]:
        assert labels[0] == "new question"
        assert set(labels[1:]) <= {"question"}


def test_skip_later_cant_tell_and_undo(serve, tab, make, tmp_path):
    db = make.fill(tmp_path / "app.db", questions=1, chunks=4)
    server = serve(db)
    server.ready()
    page = tab(server.address)
    skipped, put_off, unclear = press(page, "s"), press(page, "l"), press(page, "x")
    graded = press(page, "5")
    assert card(page) == put_off  # the last of the sitting
    page.keyboard.press("u")
    assert card(page) == graded
    page.keyboard.press("u")
    assert card(page) == unclear
    saved(page)
    assert make.judgments(db) == []
    assert [row[:2] + row[3:4] for row in make.reviews(db)] == [("skip", "ann", skipped)]
    press(page, "x")
    press(page, "2")
    press(page, "1")
    page.wait_for_function(
        "() => document.getElementById('question').textContent.startsWith('No pairs left')"
    )
    saved(page)
    assert {(row[1], row[2]) for row in make.judgments(db)} == {(graded, 2.0), (put_off, 1.0)}
    assert {(row[0], row[3]) for row in make.reviews(db)} == {("skip", skipped), ("cannot_tell", unclear)}


def test_a_reason_by_tab_and_back_with_the_arrows(serve, db, tab, make):
    server = serve(db)
    server.ready()
    page = tab(server.address)
    first = card(page)
    page.keyboard.press("Tab")
    page.keyboard.type("5 of 5 <b>")
    page.keyboard.press("Enter")
    assert card(page) == first
    page.keyboard.press("4")
    press(page, "0")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert card(page) == first
    assert page.input_value("#note") == "5 of 5 <b>"
    page.wait_for_selector("#reveal li")
    assert "5 of 5 <b>" in page.inner_text("#reveal")
    page.keyboard.press("3")  # a graded chunk is graded again
    saved(page)
    assert (first, 3.0, "5 of 5 <b>") in [(row[1], row[2], row[4]) for row in make.judgments(db)]


def test_two_raters_do_not_see_each_others_grades_before_their_own(serve, db, tab, make):
    server = serve(db)
    server.ready()
    page = tab(server.address)
    pressed = [press(page, "5") for _ in range(4)]
    saved(page)
    bob = tab(f"{server.url}/grade?as=bob", context=page.context)
    theirs = [press(bob, "1") for _ in range(4)]
    assert theirs == pressed
    assert "5 by ann" not in bob.content()
    saved(bob)
    bob.keyboard.press("ArrowLeft")
    bob.wait_for_selector("#reveal li")
    assert "5 by ann" in bob.inner_text("#reveal")
    assert len(make.judgments(db)) == 8


def test_a_server_lost_in_the_middle_loses_nothing(serve, db, tab, make):
    server = serve(db, process=True)
    server.ready()
    page = tab(server.address)
    first = [press(page, "4") for _ in range(3)]
    saved(page)
    server.kill()
    lost = [press(page, "2") for _ in range(3)]
    page.wait_for_selector("#notice:not([hidden])")
    assert "kept in this browser" in page.inner_text("#notice")
    page.close(run_before_unload=False)
    server.again()
    server.ready()
    page = tab(server.url + "/grade?as=ann", context=page.context)  # still signed in
    make.eventually(lambda: len(make.judgments(db)) == 6)
    assert [row[1] for row in make.judgments(db)] == first + lost
    assert card(page) not in first + lost


def test_a_locked_database_delays_and_loses_nothing(serve, db, tab, make):
    import sqlite3

    server = serve(db)
    server.ready()
    page = tab(server.address)
    card(page)
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pressed = [press(page, "3") for _ in range(2)]
    page.wait_for_selector("#notice:not([hidden])")
    assert "locked" in page.inner_text("#notice")
    other.execute("ROLLBACK")
    other.close()
    saved(page)
    page.wait_for_selector("#notice", state="hidden")
    assert [row[1] for row in make.judgments(db)] == pressed


def test_two_tabs_of_one_rater_keep_the_later_word(serve, db, tab, make):
    server = serve(db)
    server.ready()
    first = tab(server.address)
    second = tab(f"{server.url}/grade?as=ann", context=first.context)
    chunk = card(second)
    assert card(first) == chunk
    press(first, "1")
    saved(first)
    press(second, "5")
    saved(second)
    assert [(row[1], row[2]) for row in make.judgments(db)] == [(chunk, 5.0)]


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / "evil.db"
    with TraceStore(path, source="<script>alert(5)</script>") as store:
        for n in range(3):
            store.chunk(f"<b onclick=alert(6)>{n}", EVIL.format(name=n))
        store.chunk("long", "x" * 1_000_000)
        store.ask("<script>alert(7)</script>?", ["<b onclick=alert(6)>0", "<b onclick=alert(6)>1", "long"])
        store.ask(
            "'\"><img src=x onerror=alert(8)>", ["<b onclick=alert(6)>2"], answer="<script>alert(9)</script>"
        )
        store._run(
            "UPDATE _chunk SET metadata = ?",
            '{"title": "<script>alert(10)</script>", "url": "javascript:alert(11)"}',
        )
    return path


def test_hostile_texts_in_every_field_run_nothing(serve, hostile, tab, make):
    server = serve(hostile)
    server.ready()
    name = "<script>alert(12)</script>"
    page = tab(server.address)
    page = tab(f"{server.url}/grade?as=%3Cscript%3Ealert(12)%3C/script%3E", context=page.context)
    for _ in range(4):
        card(page)
        page.keyboard.press("n")
        page.keyboard.press("Tab")
        page.keyboard.type("<img src=x onerror=alert(13)>")
        page.keyboard.press("Enter")
        page.keyboard.press("3")
    saved(page)
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#reveal li")
    assert {row[3] for row in make.judgments(hostile)} == {name}
    assert (
        page.evaluate("document.querySelectorAll('#content script, #content img, #content svg').length") == 0
    )


def test_a_key_shows_the_next_card_within_100_ms_with_100000_pairs_in_the_queue(serve, db, tab, monkeypatch):
    from ragwheel.judgments import queue

    def many(store, *, check):
        pairs = open_pairs(store, check=check)
        copies = range(-(-100_000 // len(pairs)))
        return [
            replace(pair, query=f"{pair.query} {n}", query_key=f"{pair.query_key} {n}")
            for n in copies
            for pair in pairs
        ]

    monkeypatch.setattr(queue, "open_pairs", many)
    server = serve(db)
    server.ready()
    page = tab(server.address)
    for _ in range(20):
        press(page, "3")
    saved(page)
    whole = int(page.inner_text("#count").split(" of ")[1].split(" ")[0].replace(",", ""))
    assert whole >= 100_000
    times = page.evaluate("performance.getEntriesByName('next card').map(entry => entry.duration)")
    assert len(times) == 20
    assert sorted(times)[10] < 100  # milliseconds, for what the page itself does


def test_going_back_at_once_shows_what_is_known_as_soon_as_the_answer_is_saved(serve, db, tab):
    server = serve(db)
    server.ready()
    page = tab(server.address)
    for _ in range(5):
        press(page, "4")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector("#reveal li")
        assert "4 by ann (you)" in page.inner_text("#reveal")
        page.keyboard.press("ArrowRight")


def test_a_read_only_database_keeps_the_answers_in_the_browser_and_says_why(
    serve, db, tab, make, monkeypatch
):
    from ragwheel.errors import StoreError
    from ragwheel.review import sayings

    def read_only(db, *, timeout_s):
        raise StoreError(f"{db} cannot be written: attempt to write a readonly database")

    server = serve(db)
    server.ready()
    page = tab(server.address)
    with monkeypatch.context() as patched:
        patched.setattr(sayings, "writing_reviews", read_only)  # a chmod does not stop root
        pressed = [press(page, "2") for _ in range(3)]
        page.wait_for_selector("#notice:not([hidden])")
        assert "readonly" in page.inner_text("#notice")
        assert "kept in this browser" in page.inner_text("#notice")
        assert make.judgments(db) == []
    saved(page)
    assert [row[1] for row in make.judgments(db)] == pressed


def test_near_copies_neighbours_and_the_source_link(serve, tab, tmp_path):
    path = tmp_path / "kin.db"
    text = "To reset the password open the settings and choose security, then reset and confirm by mail. "
    with TraceStore(path) as store:
        for n, part in enumerate(
            ("Version 1", "Something else entirely about shipping parcels", "Version 2")
        ):
            store.chunk(f"page-{n}", f"{text if n != 1 else ''}{part}")
        store.ask("How do I reset it?", ["page-0", "page-1", "page-2"])
        store._run(
            "UPDATE _chunk SET metadata = ?", '{"url": "https://docs.example/reset", "date": "2026-01-02"}'
        )
    server = serve(path)
    server.ready()
    page = tab(server.address)
    copies = []
    for _ in range(3):
        card(page)
        copies.append("Nearly the same text" in page.inner_text("#card"))
        assert page.get_attribute("#card a >> text=source", "href") == "https://docs.example/reset"
        assert "2026-01-02" in page.inner_text("#card .source")
        chunk = press(page, "n")
        page.wait_for_selector("#neighbours .neighbour")
        shown = page.inner_text("#neighbours")
        assert chunk not in shown
        assert "page-" in shown
        press(page, "3")
    assert copies in ([True, True, False], [False, True, True])  # beside each other


def test_the_guideline_is_edited_on_the_page_and_kept(serve, db, tab):
    server = serve(db)
    server.ready()
    page = tab(server.address)
    card(page)
    page.click("#guideline-edit")
    page.fill("#guideline-new", "5 <b>all</b>, 0 nothing")
    page.click("#guideline-form button[type=submit]")
    page.wait_for_selector("#guideline-form", state="hidden")
    assert page.inner_text("#guideline-text") == "5 <b>all</b>, 0 nothing"
    again = tab(f"{server.url}/grade?as=bob", context=page.context)
    card(again)
    assert again.inner_text("#guideline-text") == "5 <b>all</b>, 0 nothing"
    assert "by ann" in again.inner_text("#guideline-by")
