"""The browser's module, served by the collector that it talks to."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from starlette.routing import Route

from ragwheel import collector

RULES = (Path(__file__).parent / "filter_rules.txt").read_text(encoding="utf-8").splitlines()
ADDRESSES = ("https://app.example.com", "http://localhost:8321", "https://signals.example.org")
SOURCES = Path(__file__).parents[2] / "integrations" / "browser" / "src"
PAGE = "https://shop.example"


def test_the_modules_are_the_npm_packages_files(open_shop):
    shop = open_shop(beacon=True, origins=[PAGE])
    wanted = ["auto.js"]
    for name in wanted:  # everything that the one tag loads, and what that loads
        answer = shop.http.get(f"/{name}")
        assert (answer.status_code, answer.content) == (200, (SOURCES / name).read_bytes())
        imports = re.findall(r"""(?:from|import)[ (]?"\./([a-z]+\.js)\"""", answer.text)
        wanted += [other for other in imports if other not in wanted]
    assert {"core.js", "feedback.js", "overlay.js"} < set(wanted)
    answer = shop.http.get("/beacon.js", headers={"Origin": PAGE})
    assert answer.status_code == 200
    assert answer.content == (SOURCES / "ragwheel.js").read_bytes(), "the former name"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == PAGE, "a module of elsewhere needs it"
    assert (
        "access-control-allow-origin"
        not in shop.http.get("/beacon.js", headers={"Origin": "https://x.y"}).headers
    )
    assert shop.http.post("/beacon.js").status_code == 405


def blocks(rule, url):
    """Whether a rule of a filter list hits a URL."""
    pattern = re.escape(rule).replace(r"\*", ".*").replace(r"\^", r"(?:[^\w.%-]|$)")
    return re.search(re.sub(r"\\\|$", "$", pattern), url, re.IGNORECASE) is not None


def test_no_address_of_ours_is_on_lists_of_ad_blockers(open_shop):
    """All that a page asks for, wherever the collector is mounted or a bundler puts the package."""
    routes = collector.app(open_shop(beacon=True).db, beacon=True).routes
    served = {route.path for route in routes if isinstance(route, Route)}
    assert {"/auto.js", "/v1/signals", "/stored.js"} < served
    package = {f"/node_modules/ragwheel-beacon/src/{file.name}" for file in SOURCES.glob("*.js")}
    package |= {f"/node_modules/ragwheel-beacon/dist/min/{file.name}" for file in SOURCES.glob("*.js")}
    urls = {f"{at}{path}" for at in ADDRESSES for path in package}
    urls |= {f"{at}{mount}{path}" for at in ADDRESSES for mount in ("", "/ragwheel") for path in served}
    hits = {(rule, url) for url in urls for rule in RULES[1:] if blocks(rule, url)}
    assert {rule for rule, _ in hits} == {"/beacon.js"}, sorted(hits)
    assert all(url.endswith("/beacon.js") for _, url in hits), "the former name, which nothing asks for"


def test_it_is_not_there_unless_asked_for(shop):
    assert httpx.get(f"{shop.url}/beacon.js").status_code == 404
