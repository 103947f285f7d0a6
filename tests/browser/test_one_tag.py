"""One tag in a page, and `<ragwheel-feedback>`, under the strictest Content Security Policy."""

from __future__ import annotations

import pytest

TAG = '<script type="module" src="/auto.js" data-batch-ms="50" {}></script>'


@pytest.fixture
def turn(site):
    return site.ask("Which one?", ["alpha", "beta"])


def ready(page):
    page.wait_for_function("() => window.ragwheel?.stats")
    return page


def settled(page):
    page.wait_for_function("() => ragwheel.stats().recorded && !ragwheel.stats().queued")


def said(site, turn):
    """What counts, without what was merely looked at."""
    rows = [row for row in site.signals(turn) if row["kind"] not in {"impression", "dwell"}]
    return [(row["kind"], row["chunk_id"], row["reason"], row["comment"]) for row in rows]


def test_one_tag_is_enough(site, tabs, turn, make):
    card = make.card("alpha", '<a href="#x">open</a>' + make.button("thumbs_up"))
    page = ready(tabs.open(site.plain("tag", make.answers(turn, card) + TAG.format(""))))
    page.get_by_role("link").click()
    page.get_by_role("button", name="thumbs_up").click()
    rows = site.wait_for(turn, "click", "thumbs_up", "impression", n=3)
    assert {row["chunk_id"] for row in rows} == {"alpha"}
    assert page.evaluate("ragwheel.stats().errors") == 0


def test_the_tag_waits_for_consent(site, tabs, turn, make):
    page = ready(
        tabs.open(
            site.plain("ask", make.answers(turn, make.card("alpha")) + TAG.format('data-consent="ask"'))
        )
    )
    page.evaluate("() => new Promise((done) => setTimeout(done, 1300))")
    assert page.evaluate("ragwheel.stats().recorded") == 0
    page.evaluate("ragwheel.consent(true)")
    site.wait_for(turn, "impression")


@pytest.mark.parametrize("asked", [True, False])
def test_global_privacy_control_is_respected_when_asked(site, tabs, turn, make, asked):
    page = tabs.open("about:blank")
    page.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', { value: true })")
    page.goto(
        site.plain("gpc", make.answers(turn, make.card("alpha")) + TAG.format("data-gpc" if asked else ""))
    )
    ready(page).evaluate("() => new Promise((done) => setTimeout(done, 1500))")
    assert (page.evaluate("ragwheel.stats().recorded") == 0) is asked


def test_the_debug_overlay_outlines_cards_and_does_no_harm(site, tabs, turn, make):
    page = ready(
        tabs.open(site.plain("over", make.answers(turn, make.card("alpha")) + TAG.format("data-debug")))
    )
    page.wait_for_function(
        "() => getComputedStyle(document.querySelector('article')).outlineStyle === 'dashed'"
    )
    site.wait_for(turn, "impression")
    assert page.evaluate("ragwheel.stats().errors") == 0


FEEDBACK = "<ragwheel-feedback {}></ragwheel-feedback>"


@pytest.fixture
def page(site, tabs, turn, make):
    body = FEEDBACK.format("answer") + make.card(
        "alpha", FEEDBACK.format('reasons="old:Outdated,wrong:Wrong"')
    )
    return ready(tabs.open(site.plain("feedback", make.answers(turn, body) + TAG.format(""))))


def test_a_vote_on_the_answer_and_its_undo(site, page, turn):
    up = page.get_by_role("button", name="Helpful", exact=True).first
    up.click()
    settled(page)
    assert said(site, turn) == [("thumbs_up", None, None, None)]
    assert up.get_attribute("aria-pressed") == "true"
    up.click()
    settled(page)
    assert said(site, turn) == []
    assert up.get_attribute("aria-pressed") == "false"


def test_reason_and_comment_belong_to_the_one_vote(site, page, turn):
    card = page.locator("article")
    card.get_by_role("button", name="Not helpful").click()
    card.get_by_role("button", name="Outdated").click()
    card.get_by_role("textbox", name="Comment").fill("That was in 2019.")
    card.get_by_role("button", name="Send").click()
    settled(page)
    assert said(site, turn) == [("thumbs_down", "alpha", "old", "That was in 2019.")]
    card.get_by_role("button", name="Helpful", exact=True).click()
    settled(page)
    assert said(site, turn) == [("thumbs_up", "alpha", None, None)]


def test_everything_by_keyboard(site, page, turn):
    page.locator("article").get_by_role("button", name="Helpful", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    settled(page)
    assert said(site, turn) == [("thumbs_down", "alpha", "wrong", None)]


def test_a_component_that_is_rendered_again_knows_its_vote(site, page, turn):
    page.get_by_role("button", name="Helpful", exact=True).first.click()
    page.evaluate("""() => {
        const old = document.querySelector('ragwheel-feedback');
        const fresh = document.createElement('ragwheel-feedback');
        fresh.setAttribute('answer', '');
        old.replaceWith(fresh);
    }""")
    again = page.get_by_role("button", name="Helpful", exact=True).first
    assert again.get_attribute("aria-pressed") == "true"
    again.click()
    settled(page)
    assert said(site, turn) == []


def test_a_vote_of_an_earlier_visit_is_undone(site, tabs, turn, make):
    import ragwheel

    assert ragwheel.signal(turn.handle, "thumbs_up")
    assert ragwheel.flush()
    body = make.answers(turn, FEEDBACK.format('answer vote="thumbs_up"')) + TAG.format("")
    page = ready(tabs.open(site.plain("earlier", body)))
    page.get_by_role("button", name="Helpful", exact=True).click()
    settled(page)
    assert said(site, turn) == []


def test_hostile_attributes_are_text(site, tabs, turn, make):
    hostile = FEEDBACK.format(
        "answer reasons='<img src=x>:<b>bold</b>,,:' label-down='\"><script>1</script>'"
    )
    page = ready(tabs.open(site.plain("hostile", make.answers(turn, hostile) + TAG.format(""))))
    page.get_by_role("button").nth(1).click()
    page.get_by_role("button", name="<b>bold</b>").click()
    settled(page)
    assert said(site, turn) == [("thumbs_down", None, "<img src=x>", None)]
