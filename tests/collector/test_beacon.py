"""The browser's module, served by the collector that it talks to."""

from __future__ import annotations

from pathlib import Path

import httpx

SOURCE = Path(__file__).parents[2] / "integrations" / "browser" / "src" / "ragwheel.js"
PAGE = "https://shop.example"


def test_the_module_is_the_npm_packages_file(open_shop):
    shop = open_shop(beacon=True, origins=[PAGE])
    answer = shop.http.get("/beacon.js", headers={"Origin": PAGE})
    assert answer.status_code == 200
    assert answer.content == SOURCE.read_bytes()
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
