"""Signals arrive whatever happens to the network and the page, once, and the page never notices."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

CONTRACT = json.loads((Path(__file__).parents[1] / "contract" / "signals.json").read_text(encoding="utf-8"))


@pytest.fixture
def turn(site):
    return site.ask("Which one?", ["alpha", "beta"])


@pytest.fixture
def page(site, tabs, turn, make):
    return tabs.open(site.page("delivery", make.answers(turn, make.card("alpha", make.button("thumbs_up")))))


def close(page):
    """Close the tab as a person does."""
    with page.expect_event("close"):
        page.close(run_before_unload=True)


def like(page):
    page.get_by_role("button", name="thumbs_up").click()


def stored(page):
    """How many signals wait in localStorage."""
    return page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('ragwheel:')).length")


def test_offline_then_online(site, tabs, page, turn, make):
    tabs.context.set_offline(True)
    like(page)
    page.wait_for_function("() => beacon.stats().failures")
    assert stored(page) == 1
    assert site.signals(turn) == []
    tabs.context.set_offline(False)  # the browser says so, and that is when it is sent
    stats = make.sent(page)
    assert len(site.signals(turn, "thumbs_up")) == 1
    assert stats["requests"] > stats["failures"] >= 1
    assert stored(page) == 0


def test_offline_and_closed_then_another_visit(site, tabs, page, turn, make):
    tabs.context.set_offline(True)
    like(page)
    page.wait_for_function("() => beacon.stats().failures")
    close(page)
    tabs.context.set_offline(False)
    again = tabs.open(site.page("again", "<p>Another page of the same site.</p>"))
    again.wait_for_function("() => beacon.stats().adopted >= 1")
    again.evaluate("beacon.flush()")
    assert len(site.wait_for(turn, "thumbs_up")) == 1
    assert again.evaluate("beacon.stats().queued") == stored(again) == 0


def test_two_tabs_send_what_one_could_not(site, tabs, page, turn, make):
    tabs.context.set_offline(True)
    like(page)
    page.wait_for_function("() => beacon.stats().failures")
    tabs.context.set_offline(False)
    other = tabs.open(site.page("other", "<p>A second tab.</p>"))
    other.evaluate("beacon.flush()")
    page.evaluate("beacon.flush()")
    page.wait_for_function("() => !beacon.stats().queued")
    other.wait_for_function("() => !beacon.stats().queued")
    assert len(site.signals(turn, "thumbs_up")) == 1


@pytest.mark.parametrize("how", ["reload", "navigate", "close"])
def test_the_page_goes_away_before_the_batch_is_due(site, tabs, turn, make, how):
    page = tabs.open(
        site.page("leaving", make.answers(turn, make.card("alpha", make.button("thumbs_up"))), batchMs=60_000)
    )
    like(page)
    assert page.evaluate("beacon.stats().requests") == 0
    if how == "reload":
        page.reload()
    elif how == "navigate":
        page.goto("about:blank")
    else:
        close(page)
    assert len(site.wait_for(turn, "thumbs_up")) == 1


def test_a_hidden_page_does_not_wait(site, tabs, turn, make):
    page = tabs.open(
        site.page("hiding", make.answers(turn, make.card("alpha", make.button("thumbs_up"))), batchMs=60_000)
    )
    like(page)
    tabs.open("about:blank")
    assert len(site.wait_for(turn, "thumbs_up")) == 1


def test_back_to_a_page_that_was_left(site, tabs, turn, make):
    """Whether the browser kept the page or loads it again, nothing is lost and nothing counts twice."""
    page = tabs.open(
        site.page("back", make.answers(turn, make.card("alpha", make.button("thumbs_up"))), batchMs=60_000)
    )
    like(page)
    page.goto(site.page("elsewhere", "<p>Elsewhere.</p>"))
    page.go_back(wait_until="commit")  # a page that was kept is not loaded again
    page.wait_for_function("() => window.beacon")
    like(page)
    page.evaluate("beacon.flush()")
    make.sent(page)
    assert len(site.wait_for(turn, "thumbs_up", n=2)) == 2
    assert stored(page) == 0


def test_without_send_beacon(site, tabs, page, turn):
    page.evaluate("navigator.sendBeacon = () => false")
    like(page)
    page.goto("about:blank")
    assert len(site.wait_for(turn, "thumbs_up")) == 1


def test_more_than_one_request_may_carry(site, tabs, page, turn, make):
    """250 signals of which each takes a kilobyte: sendBeacon alone would refuse them."""
    page.evaluate("""() => {
        const { ragwheelHandle } = document.querySelector('main').dataset;
        for (let n = 0; n < 250; n++) {
            beacon.signal(ragwheelHandle, 'reformulate', { query: `${n} ${'x'.repeat(1000)}` });
        }
    }""")
    stats = make.sent(page)
    assert stats["kept"] >= 250
    assert stats["requests"] < 15
    assert len(site.signals(turn, "reformulate")) == 250


def test_a_collector_on_another_origin(site, tabs, turn, make):
    card = make.card("alpha", make.button("thumbs_up"))
    url = site.page("foreign", make.answers(turn, card), endpoint=f"{site.url}/v1/signals")
    page = tabs.open(url.replace("127.0.0.1", "localhost"))
    requests = []
    page.on("request", lambda request: requests.append((request.method, request.headers)))
    like(page)
    assert make.sent(page)["failures"] == 0
    assert len(site.signals(turn, "thumbs_up")) == 1
    for method, headers in requests:
        assert (method, headers["content-type"]) == ("POST", "text/plain;charset=UTF-8"), "needs no preflight"
        assert "cookie" not in headers


def test_a_refused_signal_is_counted_and_not_repeated(site, tabs, page, turn, make):
    assert page.evaluate("beacon.signal('u1.forged.handle', 'click', { chunk: 'alpha' })")
    assert make.sent(page)["refused"] == 1
    assert page.evaluate("(handle) => beacon.signal(handle, 'rating', { value: 9 })", turn.handle)
    stats = make.sent(page)
    assert (stats["refused"], stats["requests"]) == (2, 2)


def test_a_browser_that_forbids_storage(site, playwright, turn, make, tmp_path):
    """Cookies blocked in Chromium's settings: every access to localStorage throws."""
    forbidden = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    chromium = make.Chromium(playwright, tmp_path / "p", forbidden)
    try:
        tabs = make.Tabs(chromium.browser)
        card = make.card("alpha", make.button("thumbs_up"))
        page = tabs.open(site.page("private", make.answers(turn, card)))
        error = page.evaluate(
            "() => { try { return localStorage.length } catch (error) { return error.name } }"
        )
        assert error == "SecurityError"
        tabs.context.set_offline(True)
        like(page)
        page.wait_for_function("() => beacon.stats().failures")
        tabs.context.set_offline(False)
        make.sent(page)
        assert len(site.signals(turn, "thumbs_up")) == 1
        assert tabs.errors == []
    finally:
        chromium.close()


def test_storage_switched_off(site, tabs, turn, make):
    page = tabs.open(
        site.page("unstored", make.answers(turn, make.card("alpha", make.button("thumbs_up"))), storage=False)
    )
    tabs.context.set_offline(True)
    like(page)
    page.wait_for_function("() => beacon.stats().failures")
    assert stored(page) == 0


def test_nodes_that_are_nowhere(site, tabs, page, turn, make):
    """Cards outside the document, moved, removed; containers that are none: no exception."""
    page.evaluate("""() => {
        const loose = document.createElement('div');
        loose.innerText = 'x';
        loose.dataset.ragwheelChunk = 'beta';
        const stop = beacon.attach(loose);
        loose.click();
        loose.dispatchEvent(new Event('copy'));
        stop();
        const card = document.querySelector('article');
        card.remove();
        document.body.append(card);
        document.querySelector('main').append(card);
        beacon.attach(document.createDocumentFragment())();
        beacon.attach('main')();
        beacon.attach(null)();
        beacon.attach(document, null)();
    }""")
    like(page)
    page.wait_for_function("() => beacon.stats().kept")
    assert len(site.signals(turn, "thumbs_up")) == 1


@pytest.fixture(scope="module")
def contract_page(site, chromium, make):
    """One page for all cases, and the turn that they are about."""
    tabs = make.Tabs(chromium.browser)
    yield tabs.open(site.page("contract", "<p>By hand.</p>", storage=False))
    tabs.close()
    assert tabs.errors == []


def by_hand(site, page, case):
    """Send a case's signal; the turn, and the collector's result."""
    turn = site.ask("what is tea?", CONTRACT["chunks"])
    with page.expect_response("**/v1/signals") as response:
        given = [turn.handle, case["send"]]
        page.evaluate("([handle, { kind, ...rest }]) => beacon.signal(handle, kind, rest)", given)
    (result,) = response.value.json()["results"]
    return turn, result


@pytest.mark.parametrize("case", CONTRACT["signals"], ids=lambda case: case["name"])
def test_contract_signal_is_stored(site, contract_page, case):
    turn, result = by_hand(site, contract_page, case)
    assert result["status"] == "kept"
    (row,) = site.signals(turn)
    assert row["kind"] == case["send"]["kind"]
    assert {name: row[name] for name in case["stored"]} == case["stored"]


@pytest.mark.parametrize("case", CONTRACT["refused"], ids=lambda case: case["name"])
def test_contract_signal_is_refused(site, contract_page, case):
    before = contract_page.evaluate("beacon.stats().refused")
    turn, result = by_hand(site, contract_page, case)
    assert (result["status"], result["reason"]) == ("refused", case["reason"])
    contract_page.wait_for_function(f"() => beacon.stats().refused === {before} + 1")
    assert site.signals(turn) == []


def test_module_runs_in_node():
    """The outbox alone, with Node's own test runner."""
    if shutil.which("node") is None:
        pytest.skip("no node found: install Node.js 20 or newer")
    folder = Path(__file__).parents[2] / "integrations" / "browser"
    done = subprocess.run(
        ["node", "--test", "tests/outbox.test.js"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
