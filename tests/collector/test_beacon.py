"""The browser's module, served by the collector that it talks to."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

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


def test_it_is_not_there_unless_asked_for(shop):
    assert httpx.get(f"{shop.url}/beacon.js").status_code == 404
