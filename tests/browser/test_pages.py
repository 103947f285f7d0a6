"""What real pages do to the beacon: single-page apps, streaming, frames, shadow roots, odd layouts."""

from __future__ import annotations

import pytest

QUICK = 250


@pytest.fixture
def turn(site):
    return site.ask("Which one?", ["alpha", "beta", "gamma"])


def wait_in_view(page, chunk, seconds):
    page.mouse.move(200, 200)
    page.wait_for_function(f"() => (inView['{chunk}'] ?? 0) >= {seconds}")


def pause(page, ms):
    """Let time pass on the page, by its own clock."""
    page.evaluate(f"() => new Promise((done) => setTimeout(done, {ms}))")


def finish(page, make):
    page.evaluate("detach()")
    make.sent(page)


def dwells(site, turn, chunk):
    return [row["value"] for row in site.signals(turn, "dwell") if row["chunk_id"] == chunk]


OPEN_IN_PLACE = """(how) => {
    document.querySelector('article a').addEventListener('click', (event) => {
        event.preventDefault();
        const main = document.querySelector('main');
        if (how === 'removed') main.replaceChildren();
        if (how === 'hidden') main.style.display = 'none';
        if (how === 'scrolled') scrollTo(0, 4000);
        document.querySelector('#source').hidden = false;
    });
}"""


@pytest.mark.parametrize("how", ["removed", "hidden", "scrolled"])
def test_a_source_that_opens_inside_the_app_is_no_bounce(site, tabs, turn, make, how):
    body = make.answers(turn, make.card("alpha", '<a href="/doc">open</a>'))
    page = tabs.open(site.page("inside", body + '<div id="source" class="tall" hidden>the source</div>'))
    page.evaluate(OPEN_IN_PLACE, how)
    wait_in_view(page, "alpha", 1.3)
    page.get_by_role("link").click()
    pause(page, 2500)
    make.sent(page)
    assert site.signals(turn, "click")
    assert dwells(site, turn, "alpha") == [], "nothing short is told while the source is open"
    page.mouse.wheel(0, 50)
    finish(page, make)
    assert max(dwells(site, turn, "alpha")) > 3.5


def test_reading_time_of_a_source_that_the_app_opens(site, tabs, turn, make):
    page = tabs.open(site.page("opened", make.answers(turn, make.card("alpha", cls="card far"))))
    page.evaluate("(handle) => beacon.opened(handle, 'beta')", turn.handle)
    pause(page, 2000)
    page.evaluate("beacon.closed()")
    pause(page, 1500)
    finish(page, make)
    assert dwells(site, turn, "beta") == [pytest.approx(2.0, abs=0.3)]
    assert [row["kind"] for row in site.signals(turn)] == ["dwell"], "opened() itself is no signal"


def test_opening_another_source_closes_the_first(site, tabs, turn, make):
    page = tabs.open(site.page("opened2", make.answers(turn, "")))
    for chunk in ("alpha", "beta"):
        page.evaluate("([handle, chunk]) => beacon.opened(handle, chunk)", [turn.handle, chunk])
        pause(page, 1300)
    page.evaluate("beacon.closed(); beacon.closed()")
    finish(page, make)
    for chunk in ("alpha", "beta"):
        assert dwells(site, turn, chunk) == [pytest.approx(1.3, abs=0.3)]


REPLACE = """([every, how]) => {
    const main = document.querySelector('main');
    const card = () => {
        const made = document.createElement('article');
        made.className = 'card';
        made.dataset.ragwheelChunk = 'alpha';
        made.textContent = 'What it says ' + Math.random();
        return made;
    };
    window.replacing = setInterval(() => {
        if (how === 'all') main.replaceChildren(card());
        if (how === 'one') main.firstElementChild.replaceWith(card());
        if (how === 'wrapped') {
            const wrap = document.createElement('div');
            wrap.append(card());
            main.replaceChildren(wrap);
        }
    }, every);
}"""


@pytest.mark.parametrize("how", ["all", "one", "wrapped"])
@pytest.mark.parametrize("every", [500, 40])
def test_nodes_replaced_while_an_answer_streams(site, tabs, turn, make, how, every):
    page = tabs.open(site.page("stream", make.answers(turn, make.card("alpha"))))
    page.evaluate(REPLACE, [every, how])
    wait_in_view(page, "alpha", 3)
    true = page.evaluate("() => { clearInterval(replacing); detach(); return inView.alpha; }")
    make.sent(page)
    assert [row["chunk_id"] for row in site.signals(turn, "impression")] == ["alpha"]
    assert dwells(site, turn, "alpha") == [pytest.approx(true, rel=0.15)]


def test_dwell_is_told_at_most_every_few_seconds(site, tabs, turn, make):
    page = tabs.open(site.page("flicker", make.answers(turn, make.card("alpha"))))
    wait_in_view(page, "alpha", 1.2)
    page.evaluate("""() => {
        const card = document.querySelector('article');
        let on = true;
        setInterval(() => { card.hidden = on; card.style.display = on ? 'none' : ''; on = !on; }, 400);
    }""")
    pause(page, 4000)
    finish(page, make)
    assert 1 <= len(dwells(site, turn, "alpha")) <= 2


def test_impression_time_adds_up(site, tabs, turn, make):
    page = tabs.open(site.page("sum", make.answers(turn, make.card("alpha", cls="card far"))))
    for _ in range(4):
        page.evaluate("scrollTo(0, 9999)")
        pause(page, 450)
        page.evaluate("scrollTo(0, 0)")
        pause(page, 150)
    (row,) = site.wait_for(turn, "impression")
    assert row["chunk_id"] == "alpha"


SECRETS = [
    '<input type="hidden" name="csrf" value="secret">',
    '<input type="hidden" name="q" value="secret">',
    '<input type="password" name="password" value="secret">',
    '<input autocomplete="one-time-code" name="otp" value="secret">',
    '<input type="checkbox" name="agree" value="secret" checked>',
    '<select name="lang"><option value="secret">secret</option></select>',
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("field", ['<input name="q">', '<input type="search">', "<textarea></textarea>"])
def test_a_form_sends_its_question_and_no_other_field(site, tabs, turn, make, secret, field):
    form = f'<form data-ragwheel-action="reformulate" action="#">{secret}{field}<button>Ask</button></form>'
    page = tabs.open(site.page("form", make.answers(turn, form)))
    page.evaluate(
        "document.querySelector('form').addEventListener('submit', (event) => event.preventDefault())"
    )
    page.locator("textarea, [type=search], input[name=q]:not([type])").fill("the new question")
    page.get_by_role("button").click()
    (row,) = site.wait_for(turn, "reformulate")
    assert row["query"] == "the new question"


def test_a_form_of_secrets_alone_sends_none_of_them(site, tabs, turn, make):
    form = (
        f'<form data-ragwheel-action="reformulate" action="#">{"".join(SECRETS)}<button>Ask</button></form>'
    )
    form += '<input type="password" data-ragwheel-action="reformulate">'
    page = tabs.open(site.page("secrets", make.answers(turn, form)))
    sent = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    page.evaluate(
        "document.querySelector('form').addEventListener('submit', (event) => event.preventDefault())"
    )
    page.get_by_role("button").click()
    page.locator("[type=password]").last.fill("secret")
    page.keyboard.press("Tab")
    page.wait_for_function("() => beacon.stats().recorded >= 1 && !beacon.stats().queued")
    assert "secret" not in "".join(sent)
    assert site.signals(turn, "reformulate") == []


def votes(site, turn, kind="bookmark"):
    return len(site.signals(turn, kind))


@pytest.mark.parametrize(
    "control",
    [
        '<label data-ragwheel-action="bookmark"><input type="checkbox"> keep</label>',
        '<label><input type="checkbox" data-ragwheel-action="bookmark"> keep</label>',
        '<div data-ragwheel-action="bookmark"><label>keep <input type="checkbox"></label></div>',
        '<input id="c" type="checkbox"><label for="c" data-ragwheel-action="bookmark">keep</label>',
    ],
)
def test_a_checkbox_is_one_signal_a_change_and_a_retraction_when_undone(site, tabs, turn, make, control):
    page = tabs.open(site.page("check", make.answers(turn, make.card("alpha", control))))
    label = page.get_by_text("keep")
    label.click()
    site.wait_for(turn, "bookmark")
    pause(page, QUICK)
    make.sent(page)
    assert votes(site, turn) == 1
    label.click()
    pause(page, QUICK)
    make.sent(page)
    assert votes(site, turn) == 0
    label.click()
    pause(page, QUICK)
    make.sent(page)
    assert votes(site, turn) == 1


SWITCH = """([on, attribute]) => {
    const button = document.querySelector('#switch');
    const flip = () => button.setAttribute(attribute, button.getAttribute(attribute) !== 'true');
    if (on === 'later') button.addEventListener('click', () => setTimeout(flip, 200));
    else button.addEventListener(on, flip);
}"""


@pytest.mark.parametrize("on", ["pointerdown", "click", "later"])
def test_a_disclosure_counts_by_what_it_became(site, tabs, turn, make, on):
    inside = make.button("expand", 'id="switch" aria-expanded="false"')
    page = tabs.open(site.page("disclosure", make.answers(turn, make.card("alpha", inside))))
    page.evaluate(SWITCH, [on, "aria-expanded"])
    page.locator("#switch").click()
    site.wait_for(turn, "expand")
    page.locator("#switch").click()
    pause(page, 1300)
    make.sent(page)
    assert votes(site, turn, "expand") == 1, "opening is what counts, and closing takes nothing back"


@pytest.mark.parametrize("on", ["pointerdown", "click", "later"])
def test_a_pressed_button_is_taken_back_when_it_is_released(site, tabs, turn, make, on):
    inside = make.button("thumbs_up", 'id="switch" aria-pressed="false"')
    page = tabs.open(site.page("pressed", make.answers(turn, make.card("alpha", inside))))
    page.evaluate(SWITCH, [on, "aria-pressed"])
    page.locator("#switch").click()
    site.wait_for(turn, "thumbs_up")
    page.locator("#switch").click()
    pause(page, 1300)
    make.sent(page)
    assert votes(site, turn, "thumbs_up") == 0


@pytest.mark.parametrize("on", ["details", "summary"])
def test_details_count_when_they_open(site, tabs, turn, make, on):
    action = 'data-ragwheel-action="expand"'
    marked = {name: action if name == on else "" for name in ("details", "summary")}
    inside = "<details {details}><summary {summary}>more</summary><p>text</p></details>".format(**marked)
    page = tabs.open(site.page("details", make.answers(turn, make.card("alpha", inside))))
    page.get_by_text("more").click()
    site.wait_for(turn, "expand")
    page.get_by_text("text").click()
    page.get_by_text("more").click()
    pause(page, 1300)
    make.sent(page)
    assert votes(site, turn, "expand") == 1


def test_the_opposite_vote_takes_the_place_of_the_first(site, tabs, turn, make):
    inside = make.button("thumbs_up") + make.button("thumbs_down")
    page = tabs.open(site.page("opposite", make.answers(turn, make.card("alpha", inside))))
    page.get_by_role("button", name="thumbs_up").click()
    page.get_by_role("button", name="thumbs_down").click()
    make.sent(page)
    assert [row["kind"] for row in site.signals(turn, "thumbs_up", "thumbs_down")] == ["thumbs_down"]


def test_a_rating_that_is_changed_or_cleared(site, tabs, turn, make):
    choices = '<option value="">-</option><option>2</option><option>5</option>'
    field = f'<select data-ragwheel-action="rating">{choices}</select>'
    page = tabs.open(site.page("rate", make.answers(turn, field)))
    for value, stored in (("2", [2.0]), ("5", [5.0]), ("", [])):
        page.locator("select").select_option(value)
        make.sent(page)
        assert [row["value"] for row in site.signals(turn, "rating")] == stored


def test_two_copies_of_the_module_count_once(site, tabs, turn, make):
    page = tabs.open(site.page("copies", make.answers(turn, make.card("alpha", make.button("thumbs_up")))))
    page.evaluate("""async () => {
        const copy = await import('/beacon/ragwheel.js?another');
        for (let n = 0; n < 3; n++) copy.attach(document, { batchMs: 50 });
        copy.attach(document.querySelector('main'), { batchMs: 50 })();
    }""")
    page.get_by_role("button").click()
    wait_in_view(page, "alpha", 1.6)
    true = page.evaluate("() => { detach(); return inView.alpha }")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    make.sent(page)
    assert sorted(row["kind"] for row in site.signals(turn)) == ["dwell", "impression", "thumbs_up"]
    assert dwells(site, turn, "alpha") == [pytest.approx(true, abs=0.3)]


def test_a_component_that_attaches_again_and_again(site, tabs, turn, make):
    page = tabs.open(site.page("remount", make.answers(turn, make.card("alpha"))))
    page.evaluate("detach()")
    for _ in range(6):
        page.evaluate("void (window.stop = beacon.attach(document.querySelector('main'), { batchMs: 50 }))")
        pause(page, 400)
        page.evaluate("stop()")
    make.sent(page)
    assert len(site.signals(turn, "impression")) == 1
    assert max(dwells(site, turn, "alpha")) == pytest.approx(2.4, abs=0.6)


def test_a_reload_goes_on_counting(site, tabs, turn, make):
    page = tabs.open(site.page("reload", make.answers(turn, make.card("alpha"))))
    wait_in_view(page, "alpha", 2)
    first = page.evaluate("inView.alpha")
    page.reload()
    wait_in_view(page, "alpha", 1.5)
    true = first + page.evaluate("() => { detach(); return inView.alpha }")
    make.sent(page)
    assert len(site.signals(turn, "impression")) == 1
    assert max(dwells(site, turn, "alpha")) == pytest.approx(true, rel=0.15)


LAYOUTS = {
    "taller than its panel": ('<div class="panel">', "</div>", "long"),
    "wider than the window": ("", "", "wide"),
    "display: contents": ("", "", "contents"),
    "text alone in display: contents": ("<p>", "</p>", "contents"),
    "60,000 px": ("", "", "endless"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_of_what_can_be_seen_of_a_card_is_enough(site, tabs, turn, make, layout):
    before, after, cls = LAYOUTS[layout]
    card = make.card("alpha", "<p>More.</p>", cls=cls)
    if layout.startswith("text"):
        card = '<span class="contents" data-ragwheel-chunk="alpha">Text alone.</span>'
    page = tabs.open(site.page("layout", make.answers(turn, before + card + after)))
    page.mouse.move(100, 100)
    (row,) = site.wait_for(turn, "impression")
    assert row["chunk_id"] == "alpha"
    page.mouse.move(120, 100)
    finish(page, make)
    assert max(dwells(site, turn, "alpha")) > 1


def test_an_endless_card_below_the_fold_is_seen_when_it_fills_half_the_window(site, tabs, turn, make):
    page = tabs.open(site.page("fold", make.answers(turn, make.card("alpha", cls="endless far"))))
    pause(page, 1500)
    assert page.evaluate("beacon.stats().recorded") == 0
    page.evaluate("scrollTo(0, document.querySelector('article').offsetTop - 700)")
    pause(page, 1500)
    assert page.evaluate("beacon.stats().recorded") == 0, "not half of the window yet"
    page.evaluate("scrollBy(0, 300)")
    site.wait_for(turn, "impression")


def test_a_card_that_its_panel_hides_is_not_seen(site, tabs, turn, make):
    filler = '<div class="tall"></div>'
    page = tabs.open(
        site.page("clipped", make.answers(turn, f'<div class="panel">{filler}{make.card("alpha")}</div>'))
    )
    pause(page, 1600)
    assert page.evaluate("beacon.stats().recorded") == 0
    page.evaluate("document.querySelector('.panel').scrollTo(0, 99999)")
    site.wait_for(turn, "impression")


def test_a_middle_click_on_a_citation_with_an_action(site, tabs, turn, make):
    cite = '<a id="cite" href="#x" data-ragwheel-action="click" data-ragwheel-for="gamma">[1]</a>'
    page = tabs.open(site.page("middle", make.answers(turn, cite)))
    with page.context.expect_page():
        page.locator("#cite").click(button="middle")
    (row,) = site.wait_for(turn, "click")
    assert row["chunk_id"] == "gamma"
    page.locator("#cite").click(button="right")
    make.sent(page)
    assert votes(site, turn, "click") == 1, "a right click opens nothing"


def test_a_chat_in_a_frame_without_focus(site, tabs, turn, make):
    inner = site.page("inner", make.answers(turn, make.card("alpha")))
    outer = site.page("outer", f'<input id="host"><iframe src="{inner}" width="600" height="400"></iframe>')
    page = tabs.open(outer)
    page.locator("#host").focus()
    site.wait_for(turn, "impression")
    pause(page, 1000)
    page.goto("about:blank")
    assert site.wait_for(turn, "dwell")[-1]["value"] > 1.5


SHADOW = """(order) => {
    const host = document.querySelector('#host');
    const fill = (root) => {
        const card = root.appendChild(document.createElement('article'));
        card.dataset.ragwheelChunk = 'beta';
        const button = card.appendChild(document.createElement('button'));
        button.textContent = 'like';
        button.dataset.ragwheelAction = 'thumbs_up';
        const check = card.appendChild(document.createElement('input'));
        check.type = 'checkbox';
        check.dataset.ragwheelAction = 'bookmark';
    };
    if (order === 'now') return fill(host.attachShadow({ mode: 'open' }));
    customElements.define('my-chat', class extends HTMLElement {
        connectedCallback() { fill(this.attachShadow({ mode: 'open' })); }
    });
}"""


@pytest.mark.parametrize("order", ["now", "defined later"])
def test_open_shadow_roots_are_found(site, tabs, turn, make, order):
    page = tabs.open(site.page("shadow2", make.answers(turn, "<p>text</p><my-chat id='host'></my-chat>")))
    page.evaluate(SHADOW, order)
    page.get_by_role("button", name="like").click()
    page.get_by_role("checkbox").click()
    rows = site.wait_for(turn, "thumbs_up", "impression", "bookmark", n=3)
    assert sorted(row["kind"] for row in rows) == ["bookmark", "impression", "thumbs_up"]
    assert {row["chunk_id"] for row in rows} == {"beta"}


def with_part(page, name):
    """Wait until a part of the beacon that only some pages need is loaded."""
    page.wait_for_function(
        "(name) => performance.getEntriesByType('resource').some((entry) => entry.name.endsWith(name))",
        arg=f"/{name}.js",
    )
    pause(page, QUICK)


COPY = """([from, to]) => {
    const range = document.createRange();
    const node = (selector) => document.querySelector(selector).firstChild;
    range.setStart(node(from), 0);
    range.setEnd(node(to), node(to).length);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    document.execCommand('copy');
}"""


@pytest.mark.parametrize(
    ("ends", "copied"),
    [
        (["#a p", "#a p"], ["alpha"]),
        (["#a p", "#b p"], ["alpha", "beta"]),
        (["#answer", "#answer"], [None]),
        (["#answer", "#b p"], ["alpha", "beta"]),
        (["#top", "#end"], []),
    ],
)
def test_copied_text_belongs_to_every_card_it_came_from(site, tabs, turn, make, ends, copied):
    cards = "".join(f'<div id="{name[0]}">{make.card(name)}</div>' for name in ("alpha", "beta", "gamma"))
    body = (
        f'<p id="top">Top</p>{make.answers(turn, f"<p id=answer>The answer.</p>{cards}")}<p id="end">End</p>'
    )
    page = tabs.open(site.page("copy", body))
    page.evaluate(COPY, ends)
    with_part(page, "copies")
    page.evaluate("beacon.signal(document.querySelector('main').dataset.ragwheelHandle, 'follow_up')")
    site.wait_for(turn, "follow_up")
    assert {row["chunk_id"] for row in site.signals(turn, "copy")} == set(copied)


def test_everything_selected_is_about_no_card(site, tabs, turn, make):
    page = tabs.open(
        site.page("all", make.answers(turn, f"<p>The answer.</p>{make.card('alpha')}{make.card('beta')}"))
    )
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+c")
    with_part(page, "copies")
    page.evaluate("beacon.signal(document.querySelector('main').dataset.ragwheelHandle, 'follow_up')")
    site.wait_for(turn, "follow_up")
    assert site.signals(turn, "copy") == []


def test_a_clipboard_button_of_the_answer(site, tabs, turn, make):
    page = tabs.open(site.page("clip", make.answers(turn, make.button("copy"))))
    page.get_by_role("button").click()
    (row,) = site.wait_for(turn, "copy")
    assert (row["chunk_id"], row["turn_id"]) == (None, turn.span_id.hex())


def test_nothing_is_recorded_without_consent(site, tabs, turn, make):
    page = tabs.open(
        site.page("consent", make.answers(turn, make.card("alpha", make.button("thumbs_up"))), consent=False)
    )
    page.get_by_role("button").click()
    pause(page, 1500)
    assert page.evaluate("beacon.stats().recorded") == 0
    page.evaluate("beacon.consent(true)")
    page.get_by_role("button").click()
    site.wait_for(turn, "thumbs_up")
    page.evaluate("beacon.consent(false)")
    before = page.evaluate("beacon.stats().recorded")
    page.get_by_role("button").click()
    assert not page.evaluate("(handle) => beacon.signal(handle, 'follow_up')", turn.handle)
    assert page.evaluate("beacon.stats().recorded") == before
    assert (
        page.evaluate(
            "Object.keys(localStorage).filter((key) => key.startsWith(`ragwheel:${location.origin}`)).length"
        )
        == 0
    )


def test_debug_says_what_is_wrong_once(site, tabs, turn, make):
    body = '<div data-ragwheel-chunk="lost"></div>' * 3 + make.answers(
        turn,
        '<p data-ragwheel-chnk="x"></p>' * 2
        + make.card("alpha", make.button("thumbs_upp") + make.button("thumbs_upp")),
    )
    page = tabs.open("about:blank")
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(site.page("debug", body, debug=True))
    for button in page.get_by_role("button").all():
        button.click()
    page.wait_for_function("() => beacon.stats().refused === 2")
    page.evaluate(
        "beacon.attach(document, { endpoint: '/v1/signal', debug: true }); beacon.signal('x', 'click')"
    )
    page.wait_for_function("() => beacon.stats().failures")
    for word in ("no data-ragwheel-handle", "data-ragwheel-chnk", "unknown kind", "answers 404"):
        assert len([text for text in said if word in text]) == 1, (word, said)
