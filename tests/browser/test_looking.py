"""What is seen, and for how long: scrolling, switching tabs, pausing, leaving; times within 10 %.

The true time is measured frame by frame on the page itself (start.js), in another way than the beacon does.
"""

from __future__ import annotations

import pytest


@pytest.fixture
def turn(site):
    return site.ask("Which one?", ["alpha", "beta", "gamma"])


@pytest.fixture
def page(site, tabs, turn, make):
    """One card at the top, one far below it."""
    body = make.card("alpha") + make.card("beta", cls="card far")
    return tabs.open(site.page("looking", make.answers(turn, body)))


def look_at(page, chunk, seconds):
    """Wait until a card has been in view for so long, moving the mouse as a reader does."""
    page.mouse.move(200, 200)
    page.wait_for_function(f"() => (inView['{chunk}'] ?? 0) >= {seconds}")


def dwell(rows, chunk):
    """The longest time reported for a chunk: each report holds the ones before it."""
    return max(row["value"] for row in rows if (row["kind"], row["chunk_id"]) == ("dwell", chunk))


def leave(page):
    """Stop watching; returns the true times."""
    return page.evaluate("() => { detach(); return inView; }")


def test_a_card_in_view(site, page, turn):
    look_at(page, "alpha", 2.5)
    true = leave(page)["alpha"]
    rows = site.wait_for(turn, "dwell")
    assert dwell(rows, "alpha") == pytest.approx(true, rel=0.1)
    assert {row["chunk_id"] for row in site.signals(turn)} == {"alpha"}, "the other one was never in view"


def test_scrolling_from_one_card_to_the_other_and_back(site, page, turn, make):
    look_at(page, "alpha", 2)
    page.mouse.wheel(0, 5000)
    look_at(page, "beta", 3)
    page.mouse.wheel(0, -5000)
    look_at(page, "alpha", 3)
    true = leave(page)
    make.sent(page)
    rows = site.signals(turn)
    for chunk in ("alpha", "beta"):
        assert dwell(rows, chunk) == pytest.approx(true[chunk], rel=0.1)
    assert sorted(row["chunk_id"] for row in rows if row["kind"] == "impression") == ["alpha", "beta"]


def test_another_tab_in_front(site, tabs, page, turn):
    look_at(page, "alpha", 1.5)
    front = tabs.open("about:blank")
    (first,) = site.wait_for(turn, "dwell")  # sent when the page was hidden
    away = front.evaluate("() => new Promise((done) => setTimeout(done, 2000, 2))")
    page.bring_to_front()
    look_at(page, "alpha", 3)
    true = leave(page)["alpha"]
    rows = site.wait_for(turn, "dwell", n=2)
    assert first["value"] == pytest.approx(1.5, abs=0.5)
    assert dwell(rows, "alpha") == pytest.approx(true, rel=0.1)
    assert true < 3 + away


def test_visibility_decides_and_not_the_focus(site, page, turn, make):
    """A chat in an iframe, or beside the window that is typed in, is read without having the focus."""
    look_at(page, "alpha", 1.2)
    # Headless windows never take the focus from each other: this much is pretended.
    page.evaluate("""() => {
        document.hasFocus = () => false;
        dispatchEvent(new Event('blur'));
    }""")
    look_at(page, "alpha", 2.7)
    true = leave(page)["alpha"]
    make.sent(page)
    assert dwell(site.signals(turn), "alpha") == pytest.approx(true, rel=0.1)


def test_nobody_there(site, tabs, turn, make):
    page = tabs.open(site.page("idle", make.answers(turn, make.card("alpha")), idleMs=1500))
    page.mouse.move(10, 10)
    start = page.evaluate("() => inView.alpha ?? 0")
    page.wait_for_function(f"() => inView.alpha >= {start + 3}")
    page.mouse.move(20, 20)  # back again
    page.wait_for_function(f"() => inView.alpha >= {start + 4}")
    leave(page)
    make.sent(page)
    assert dwell(site.signals(turn), "alpha") == pytest.approx(start + 1.5 + 1, rel=0.15)


def test_a_card_that_is_removed(site, page, turn, make):
    look_at(page, "alpha", 2)
    true = page.evaluate("() => { document.querySelector('article').remove(); return inView.alpha }")
    rows = site.wait_for(turn, "dwell")
    assert dwell(rows, "alpha") == pytest.approx(true, rel=0.1)


def test_an_element_used_again_for_another_chunk(site, page, turn, make):
    look_at(page, "alpha", 1.5)
    page.evaluate("document.querySelector('article').dataset.ragwheelChunk = 'gamma'")
    look_at(page, "gamma", 2.5)
    true = leave(page)
    make.sent(page)
    rows = site.signals(turn)
    for chunk in ("alpha", "gamma"):
        assert dwell(rows, chunk) == pytest.approx(true[chunk], rel=0.1)


def test_leaving_the_page(site, page, turn, make):
    look_at(page, "alpha", 2)
    true = page.evaluate("inView.alpha")
    page.goto("about:blank")
    rows = site.wait_for(turn, "dwell")
    assert dwell(rows, "alpha") == pytest.approx(true, rel=0.1)


def test_closing_the_tab(site, page, turn, make):
    look_at(page, "alpha", 2)
    true = page.evaluate("inView.alpha")
    page.close(run_before_unload=True)
    rows = site.wait_for(turn, "dwell")
    assert dwell(rows, "alpha") == pytest.approx(true, rel=0.15)


def test_reading_what_a_link_leads_to_is_no_bounce(site, tabs, turn, make):
    link = '<a href="/pages/other.html" target="_blank" rel="noopener">read</a>'
    site.page("other", "<p>The whole text.</p>")
    page = tabs.open(site.page("follow", make.answers(turn, make.card("alpha", link))))
    look_at(page, "alpha", 1.1)
    with page.context.expect_page() as opened:
        page.get_by_role("link").click()
    opened.value.wait_for_load_state()
    opened.value.bring_to_front()
    page.wait_for_function("() => document.visibilityState === 'hidden'", polling=50)
    opened.value.evaluate("() => new Promise((done) => setTimeout(done, 2500))")
    make.sent(page)
    assert site.signals(turn, "click")
    assert site.signals(turn, "dwell") == [], "it would be short, and speak against the chunk"
    opened.value.close()
    page.bring_to_front()
    page.wait_for_function("() => document.visibilityState === 'visible'")
    leave(page)
    rows = site.wait_for(turn, "dwell")
    assert dwell(rows, "alpha") > 3.2


def test_a_glance_is_no_impression(site, page, turn, make):
    look_at(page, "alpha", 0.3)
    page.mouse.wheel(0, 900)
    page.wait_for_function("() => scrollY > 500")
    page.evaluate("() => new Promise((done) => setTimeout(done, 1500))")
    page.evaluate("beacon.signal(document.querySelector('main').dataset.ragwheelHandle, 'follow_up')")
    make.sent(page)
    assert [row["kind"] for row in site.signals(turn)] == ["follow_up"]


def test_a_card_that_cannot_be_seen_is_no_impression(site, tabs, turn, make):
    body = make.card("alpha", cls="card clear") + make.card("beta")
    page = tabs.open(site.page("clear", make.answers(turn, body)))
    site.wait_for(turn, "impression")
    look_at(page, "beta", 2.5)
    assert [row["chunk_id"] for row in site.signals(turn, "impression")] == ["beta"]
    page.evaluate("document.querySelector('.clear').classList.remove('clear')")
    rows = site.wait_for(turn, "impression", n=2)
    assert {row["chunk_id"] for row in rows} == {"alpha", "beta"}


def test_a_card_taller_than_the_window(site, tabs, turn, make):
    page = tabs.open(site.page("tall", make.answers(turn, make.card("alpha", cls="tall"))))
    look_at(page, "alpha", 2)
    true = leave(page)["alpha"]
    rows = site.wait_for(turn, "dwell", "impression", n=2)
    assert dwell(rows, "alpha") == pytest.approx(true, rel=0.1)


def test_a_tab_opened_in_the_background(site, tabs, turn, make):
    url = site.page("background", make.answers(turn, make.card("alpha")))
    front = tabs.open(site.page("front", "<p>front</p>"))
    session = front.context.new_cdp_session(front)
    with front.context.expect_page() as opened:
        session.send("Target.createTarget", {"url": url, "background": True})
    page = opened.value
    page.wait_for_function("() => window.beacon", polling=50)
    assert page.evaluate("document.visibilityState") == "hidden"
    front.evaluate("() => new Promise((done) => setTimeout(done, 1500))")
    assert page.evaluate("beacon.stats().recorded") == 0
    page.bring_to_front()
    (row,) = site.wait_for(turn, "impression")
    assert row["chunk_id"] == "alpha"
