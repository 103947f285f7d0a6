"""What must not hurt the page: hostile attributes, thousands of cards, full storage, no collector."""

from __future__ import annotations

import html

import pytest

HOUR_MS = 3_600_000


@pytest.fixture
def turn(site):
    return site.ask("Which one?", ["alpha", "beta", "gamma"])


def pause(page, ms):
    """Let time pass on the page, by its own clock."""
    page.evaluate(f"() => new Promise((done) => setTimeout(done, {ms}))")


def settled(page):
    page.wait_for_function("() => beacon.stats().recorded && !beacon.stats().queued")
    stats = page.evaluate("beacon.stats()")
    assert stats["recorded"] + stats["adopted"] == sum(stats[k] for k in ("kept", "refused", "dropped"))
    assert stats["errors"] == 0
    return stats


LONG = "x" * 1_000_000
HOSTILE = {
    "no handle": '<p data-ragwheel-handle=""><i data-ragwheel-chunk="alpha">text</i></p>',
    "a forged handle": '<p data-ragwheel-handle="u1.%00.&lt;b&gt;"><i data-ragwheel-chunk="alpha">t</i></p>',
    "a huge handle": f'<p data-ragwheel-handle="{LONG}"><i data-ragwheel-chunk="alpha">text</i></p>',
    "no chunk": '<i data-ragwheel-chunk="">text</i>',
    "a huge chunk": f'<i data-ragwheel-chunk="{LONG}">text</i>',
    "markup": '<i data-ragwheel-chunk="&lt;img src=x onerror=alert(1)&gt;">text</i>',
    "a selector": "<i data-ragwheel-chunk='&quot;] , [x=&quot;'>text</i>",
    "a prototype": '<i data-ragwheel-chunk="__proto__">text</i>',
    "cards in cards": '<i data-ragwheel-chunk="alpha"><i data-ragwheel-chunk="alpha">text</i></i>',
    "an unknown kind": '<button data-ragwheel-action="constructor">b</button>',
    "no kind": '<button data-ragwheel-action="">b</button>',
    "no number": '<button data-ragwheel-action="rating" data-ragwheel-value="many">b</button>',
    "an endless number": '<button data-ragwheel-action="convert" data-ragwheel-value="1e999">b</button>',
    "a huge question": f'<button data-ragwheel-action="reformulate" data-ragwheel-query="{LONG}">b</button>',
    "no rivals": '<b data-ragwheel-compare=""><button data-ragwheel-action="prefer">b</button></b>',
    "a form in the button": '<button data-ragwheel-action="reformulate"><input name="elements"></button>',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_attributes_reach_neither_the_page_nor_its_storage(site, tabs, turn, make, name):
    body = make.answers(turn, HOSTILE[name] + make.card("gamma", make.button("bookmark")))
    page = tabs.open(site.page("attributes", body))
    if "button" in HOSTILE[name]:
        page.locator("main > button, b > button").first.click()
    pause(page, 1200)
    page.get_by_role("button", name="bookmark").click()
    (row,) = site.wait_for(turn, "bookmark")
    assert row["chunk_id"] == "gamma", "the rest of the page is heard"
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    settled(page)
    assert page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage }).length") < 10_000
    assert page.evaluate("Object.keys(Object.prototype)") == []


def test_an_endpoint_that_is_no_address(site, tabs, turn, make):
    page = tabs.open(site.page("address", make.answers(turn, make.card("alpha"))))
    for endpoint in ("https://[", "javascript:alert(1)", "//", "\x00", "data:,x"):
        page.evaluate(
            """([endpoint, handle]) => {
                const stop = beacon.attach(document.createElement("p"), { endpoint });
                beacon.signal(handle, "follow_up", { endpoint });
                stop();
            }""",
            [endpoint, turn.handle],
        )
    page.evaluate("beacon.attach(document.createElement('p'), { endpoint: '/v1/signals' })")
    page.evaluate("(handle) => beacon.signal(handle, 'follow_up')", turn.handle)
    site.wait_for(turn, "follow_up")
    tabs.errors[:] = [text for text in tabs.errors if "connect" not in text.lower()]  # the browser says so


MUTATIONS = {
    "words": """const word = stream.appendChild(document.createElement("span"));
        word.textContent = "word ";
        if (stream.childElementCount > 50) stream.firstChild.remove();""",
    "cards": """const card = cards[n++ % cards.length];
        card.replaceWith(card.cloneNode(true));""",
    "attributes": """const card = cards[n++ % cards.length];
        card.dataset.ragwheelChunk = `c${n % 2000}`;""",
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_a_thousand_cards_and_thirty_mutations_a_second_cost_little(site, tabs, turn, make, what):
    """At most 200 ms of script of ours in 5 s, by the browser's own profiler."""
    cards = "".join(make.card(f"c{n}", "<p>a</p><p>b</p>") for n in range(1000))
    page = tabs.open(site.page("many", make.answers(turn, f'{cards}<p id="stream"></p>')))
    session = page.context.new_cdp_session(page)
    pause(page, 500)
    page.evaluate(f"""() => {{
        const stream = document.querySelector("#stream");
        let n = 0;
        setInterval(() => {{
            const cards = document.getElementsByTagName("article");
            {MUTATIONS[what]}
        }}, 33);
    }}""")
    session.send("Profiler.enable")
    session.send("Profiler.start")
    pause(page, 5000)
    profile = session.send("Profiler.stop")["profile"]
    ours = {node["id"] for node in profile["nodes"] if "/beacon/" in node["callFrame"]["url"]}
    spent_us = sum(us for id, us in zip(profile["samples"], profile["timeDeltas"], strict=True) if id in ours)
    assert ours
    assert spent_us <= 200_000
    assert page.evaluate("beacon.stats().errors") == 0


def test_the_collector_is_down_and_the_page_keeps_its_storage(site, tabs, turn, make):
    page = tabs.open(site.page("full", make.answers(turn, "")))
    tabs.context.set_offline(True)
    left = page.evaluate(
        """(handle) => {
        const fill = 'x'.repeat(100_000);
        let n = 0;
        try { for (;; n++) localStorage.setItem(`page ${n}`, fill) } catch { /* full */ }
        for (let k = 0; k < 3; k++) localStorage.removeItem(`page ${k}`);
        const query = 'y'.repeat(9000);
        for (let k = 0; k < 600; k++) beacon.signal(handle, 'reformulate', { query: `${k} ${query}` });
        return n;
    }""",
        turn.handle,
    )
    assert left > 10
    page.wait_for_function("() => beacon.stats().failures")
    page.evaluate("localStorage.setItem('page 0', 'x'.repeat(100_000))")
    stats = page.evaluate("beacon.stats()")
    assert (stats["queued"], stats["errors"]) == (500, 0)
    ours = page.evaluate(
        "Object.entries(localStorage).filter(([key]) => key.startsWith('ragwheel:')).flat().join('').length"
    )
    assert ours <= 100_000
    page.evaluate("localStorage.clear()")
    tabs.context.set_offline(False)


def test_session_storage_is_full(site, tabs, turn, make):
    page = tabs.open(site.page("session", make.answers(turn, make.card("alpha", make.button("bookmark")))))
    page.evaluate("""() => {
        const fill = "x".repeat(100_000);
        try { for (let n = 0; ; n++) sessionStorage.setItem(`page ${n}`, fill); } catch { /* full */ }
    }""")
    pause(page, 1200)
    page.reload()
    page.wait_for_function("() => window.beacon")
    page.get_by_role("button").click()
    site.wait_for(turn, "bookmark")
    assert page.evaluate("beacon.stats().errors") == 0
    page.evaluate("sessionStorage.clear()")


def test_the_collector_is_down_for_an_hour(site, tabs, turn, make):
    """Requests become rare, memory and storage stay bounded, and what waited arrives once."""
    url = site.page("hour", make.answers(turn, make.card("alpha", make.button("bookmark"))))
    page = tabs.open("about:blank")
    page.clock.install()
    page.goto(url)
    page.route("**/v1/signals", lambda route: route.abort())
    requests = []
    page.on("request", lambda request: requests.append(request.url) if "/v1/signals" in request.url else None)
    page.get_by_role("button").click()
    for _minute in range(60):
        page.evaluate("(handle) => beacon.signal(handle, 'follow_up')", turn.handle)
        page.clock.run_for(HOUR_MS // 60)
    stats = page.evaluate("beacon.stats()")
    assert (stats["kept"], stats["dropped"], stats["errors"]) == (0, 0, 0)
    assert stats["queued"] >= 61
    assert 30 <= len(requests) <= 150, "about one a minute"
    assert page.evaluate("JSON.stringify({ ...localStorage }).length") <= 120_000
    page.unroute("**/v1/signals")
    page.evaluate("void dispatchEvent(new Event('online'))")
    make.eventually(lambda: len(site.signals(turn, "follow_up")) == 60)
    assert len(site.signals(turn, "bookmark")) == 1


ANSWERS = {
    "not found": {"status": 404, "body": "no"},
    "another app": {"status": 405, "body": "no"},
    "a login": {"status": 401, "body": "log in"},
    "a page of the app for every address": {"status": 200, "body": "<!doctype html><p>Welcome"},
    "a redirect to a login": {"status": 302, "headers": {"location": "/login"}},
    "an error": {"status": 500, "body": "oops"},
    "an answer that is none": {"status": 200, "body": '{"results": "all"}'},
    "an answer about others": {
        "status": 200,
        "body": '{"results": [null, {"event_id": "x", "status": "kept"}]}',
    },
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_answers_in_the_collectors_place_loses_nothing(site, tabs, turn, make, name):
    page = tabs.open("about:blank")
    messages = []
    page.on("console", lambda message: messages.append(message.text))
    page.route("**/v1/signals", lambda route: route.fulfill(**ANSWERS[name]))
    page.goto(site.page("wrong", make.answers(turn, make.button("thumbs_up")), debug=True))
    page.get_by_role("button").click()
    page.wait_for_function("() => beacon.stats().failures")
    make.eventually(lambda: any(text.startswith("ragwheel: http") for text in messages) or "others" in name)
    assert page.evaluate("beacon.stats().queued") >= 1
    page.unroute("**/v1/signals")
    page.evaluate("beacon.flush()")
    site.wait_for(turn, "thumbs_up")
    settled(page)
    assert html.unescape(" ".join(messages)).count("ragwheel: http") <= 2, "said once for each cause"
