"""Each kind of signal, made by hand in a browser, is found in the store about the right chunk."""

from __future__ import annotations

import pytest

CHUNKS = ["alpha", "beta", "gamma"]
ON_CHUNKS = ["copy", "expand", "bookmark", "thumbs_up", "thumbs_down", "delete", "more_like_this"]


@pytest.fixture
def turn(site):
    return site.ask("Which one?", CHUNKS)


@pytest.fixture
def page(site, tabs, turn, make):
    """Three cards side by side, an answer, a comparison and a form."""
    inside = '<a href="#there">source</a>' + "".join(map(make.button, ON_CHUNKS))
    inside += '<p class="text">Copy these words.</p>'
    compare = "".join(
        f'<section data-ragwheel-chunk="{id}">{make.button("prefer")}</section>' for id in CHUNKS[:2]
    )
    body = f"""
      <div id="answer">An answer
        <a id="cite" href="#x" data-ragwheel-action="click" data-ragwheel-for="gamma">[1]</a>
        {make.button("thumbs_up")} {make.button("thumbs_down")} {make.button("follow_up")}
        {make.button("abandon")} {make.button("convert", 'data-ragwheel-value="19.5"')}
        <select data-ragwheel-action="rating"><option>-</option><option value="4">good</option></select>
      </div>
      {"".join(make.card(id, inside) for id in CHUNKS)}
      <div data-ragwheel-compare id="compare">{compare}</div>
      <form data-ragwheel-action="reformulate"><input type="search" name="q"><button>Ask</button></form>"""
    return tabs.open(site.page("signals", make.answers(turn, body)))


def about(row):
    return row["kind"], row["chunk_id"], row["rank"], row["value"], row["other"], row["query"]


def only(site, page, turn, make, kind):
    """The one signal of this kind that there is."""
    make.sent(page)
    (row,) = site.signals(turn, kind)
    assert row["subject"] == "ada"
    assert row["turn_id"] == turn.span_id.hex()
    return about(row)


@pytest.mark.parametrize("kind", ON_CHUNKS)
def test_a_button_on_a_card_with_the_mouse(site, tabs, turn, page, make, kind):
    page.locator("article").nth(1).get_by_role("button", name=kind, exact=True).click()
    assert only(site, page, turn, make, kind) == (kind, "beta", 2, None, None, None)


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_button_on_a_card_with_the_keyboard(site, tabs, turn, page, make, key):
    page.locator("article a").nth(2).focus()
    for _ in range(1 + ON_CHUNKS.index("bookmark")):
        page.keyboard.press("Tab")
    page.keyboard.press(key)
    assert only(site, page, turn, make, "bookmark") == ("bookmark", "gamma", 3, None, None, None)


@pytest.mark.parametrize("how", ["left", "middle", "keyboard"])
def test_a_link_in_a_card(site, tabs, turn, page, make, how):
    link = page.locator("article a").first
    if how == "keyboard":
        link.focus()
        page.keyboard.press("Enter")
    else:
        link.click(button=how)
    assert only(site, page, turn, make, "click") == ("click", "alpha", 1, None, None, None)


def test_a_citation_names_its_chunk(site, tabs, turn, page, make):
    page.locator("#cite").click()
    assert only(site, page, turn, make, "click") == ("click", "gamma", 3, None, None, None)


def test_text_copied_from_a_card(site, tabs, turn, page, make):
    page.locator("article .text").nth(1).click(click_count=3)
    page.keyboard.press("Control+C")
    assert only(site, page, turn, make, "copy") == ("copy", "beta", 2, None, None, None)


def test_copying_nothing_or_from_outside_is_no_signal(site, tabs, turn, page, make):
    page.locator("article .text").nth(1).click()
    page.keyboard.press("Control+C")
    page.evaluate(
        "document.body.insertAdjacentElement('beforeend', document.createElement('p')).innerText = 'Imprint'"
    )
    page.get_by_text("Imprint").click(click_count=3)
    page.keyboard.press("Control+C")
    page.get_by_role("button", name="follow_up").click()
    make.sent(page)
    assert site.signals(turn, "copy") == []


@pytest.mark.parametrize("kind", ["thumbs_up", "thumbs_down", "follow_up", "abandon"])
def test_a_button_on_the_answer(site, tabs, turn, page, make, kind):
    page.locator("#answer").get_by_role("button", name=kind).click()
    assert only(site, page, turn, make, kind) == (kind, None, None, None, None, None)


def test_a_button_with_a_value(site, tabs, turn, page, make):
    page.get_by_role("button", name="convert").click()
    assert only(site, page, turn, make, "convert") == ("convert", None, None, 19.5, None, None)


def test_a_field_that_rates(site, tabs, turn, page, make):
    page.locator("select").focus()
    page.keyboard.press("g")
    page.keyboard.press("Tab")
    assert only(site, page, turn, make, "rating") == ("rating", None, None, 4.0, None, None)


def test_a_comparison(site, tabs, turn, page, make):
    page.locator("#compare section").nth(1).get_by_role("button").click()
    assert only(site, page, turn, make, "prefer") == ("prefer", "beta", 2, None, "alpha", None)


def test_a_question_put_differently(site, tabs, turn, page, make):
    page.evaluate("document.forms[0].addEventListener('submit', (event) => event.preventDefault())")
    page.get_by_role("searchbox").click()
    page.keyboard.type("Which of the three?")
    page.keyboard.press("Enter")
    _, chunk, _, _, other, query = only(site, page, turn, make, "reformulate")
    assert (chunk, other, query) == (None, None, "Which of the three?")


def test_a_form_that_leaves_the_page(site, tabs, turn, page, make):
    page.get_by_role("searchbox").click()
    page.keyboard.type("Which of the three?")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    (row,) = site.wait_for(turn, "reformulate")
    assert row["query"] == "Which of the three?"


def test_a_signal_by_hand_joins_the_new_turn(site, tabs, turn, page, make):
    new = site.ask("Which of the three?", CHUNKS)
    assert page.evaluate(
        "([old, other]) => beacon.signal(old, 'reformulate', {query: 'Which of the three?', other})",
        [turn.handle, new.handle],
    )
    assert only(site, page, turn, make, "reformulate")[4:] == (new.span_id.hex(), "Which of the three?")


def test_what_is_switched_off_is_no_signal(site, tabs, turn, make):
    body = make.card("alpha", (
        make.button("bookmark", 'aria-pressed="true"') + make.button("expand", 'aria-expanded="true"')
        + "<details><summary data-ragwheel-action='expand'>more</summary>text</details>"
        + "<input type='checkbox' data-ragwheel-action='bookmark'>"
    ))  # fmt: skip
    page = tabs.open(site.page("switched", make.answers(turn, body)))
    for name in ("bookmark", "expand"):
        page.get_by_role("button", name=name).click()
    for _ in range(4):
        page.locator("summary").click()
    for _ in range(2):
        page.get_by_role("checkbox").click()
    make.sent(page)
    kinds = [row["kind"] for row in site.signals(turn) if row["kind"] != "impression"]
    assert kinds == ["expand", "expand"], "a bookmark that was set and taken away counts no more"


def test_the_app_may_stop_events_and_remove_the_card_first(site, tabs, turn, page, make):
    page.evaluate("""() => {
        for (const card of document.querySelectorAll('article')) {
            card.addEventListener('click', (event) => {
                event.stopImmediatePropagation();
                card.remove();
            }, true);
        }
    }""")
    page.locator("article").nth(1).get_by_role("button", name="delete").click()
    assert only(site, page, turn, make, "delete") == ("delete", "beta", 2, None, None, None)
    assert page.locator("article").count() == 2


def test_cards_that_come_later(site, tabs, turn, make):
    page = tabs.open(site.page("later", "<main></main>"))
    page.evaluate(
        """(handle) => {
            const main = document.querySelector('main');
            main.dataset.ragwheelHandle = handle;
            const card = document.createElement('article');
            card.className = 'card';
            card.dataset.ragwheelChunk = 'gamma';
            const button = card.appendChild(document.createElement('button'));
            button.dataset.ragwheelAction = 'thumbs_up';
            main.append(card);
        }""",
        turn.handle,
    )
    page.locator("button").click()
    rows = site.wait_for(turn, "thumbs_up", "impression", n=2)
    assert sorted(row["kind"] for row in rows) == ["impression", "thumbs_up"]
    assert {row["chunk_id"] for row in rows} == {"gamma"}


def test_cards_in_a_shadow_root(site, tabs, turn, make):
    page = tabs.open(site.page("shadow", make.answers(turn, "<div id='host'></div>")))
    page.evaluate("""() => {
        const root = document.querySelector('#host').attachShadow({ mode: 'open' });
        const card = root.appendChild(document.createElement('article'));
        card.dataset.ragwheelChunk = 'beta';
        const button = card.appendChild(document.createElement('button'));
        button.textContent = 'like';
        button.dataset.ragwheelAction = 'thumbs_up';
        beacon.attach(root, { batchMs: 50 });
    }""")
    page.get_by_role("button", name="like").click()
    rows = site.wait_for(turn, "thumbs_up", "impression", n=2)
    assert sorted(row["kind"] for row in rows) == ["impression", "thumbs_up"]
    assert {row["chunk_id"] for row in rows} == {"beta"}


HOSTILE = [
    "\"quoted'",
    "<b>&amp;",
    "🙂 emoji\u200d",
    "line\nbreak\ttab",
    "][x",
    "%00&a=b",
    "ünï\u0301",
    " spaced ",
]


def test_hostile_ids(site, tabs, make):
    turn = site.ask("Hostile?", HOSTILE)
    cards = "".join(make.card(id, make.button("thumbs_up")) for id in HOSTILE)
    page = tabs.open(site.page("hostile", make.answers(turn, cards)))
    for at in range(len(HOSTILE)):
        page.get_by_role("button").nth(at).click()
    make.sent(page)
    assert [row["chunk_id"] for row in site.signals(turn, "thumbs_up")] == HOSTILE
    assert [row["rank"] for row in site.signals(turn, "thumbs_up")] == list(range(1, len(HOSTILE) + 1))


def test_a_chunk_that_was_not_served_is_never_evidence(site, tabs, turn, make):
    page = tabs.open(site.page("unserved", make.answers(turn, make.card("omega", make.button("thumbs_up")))))
    before = site.unmatched()
    page.get_by_role("button").click()
    make.sent(page)
    assert site.signals(turn, "thumbs_up") == []
    assert site.unmatched() > before


def test_two_beacons_on_one_page_count_once(site, tabs, turn, page, make):
    page.evaluate("beacon.attach(document.querySelector('main'), {batchMs: 50})")
    page.locator("article").first.get_by_role("button", name="copy").click()
    assert only(site, page, turn, make, "copy")[1] == "alpha"


def test_after_detach_there_are_no_signals(site, tabs, turn, page, make):
    page.evaluate("detach()")
    page.evaluate("detach()")
    page.locator("article").first.get_by_role("button", name="copy").click()
    assert page.evaluate("beacon.signal(document.querySelector('main').dataset.ragwheelHandle, 'follow_up')")
    site.wait_for(turn, "follow_up")
    assert site.signals(turn, "copy") == []
