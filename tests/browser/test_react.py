"""The React entry with React 18 and 19, in StrictMode, while an answer streams."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "integrations" / "browser"


@pytest.fixture(scope="module", params=["18", "19"])
def bundle(request, site):
    """The app of the tests, bundled with one version of React; the name of its file."""
    react = FOLDER / "tests" / f"react{request.param}" / "node_modules"
    esbuild = FOLDER / "node_modules" / ".bin" / "esbuild"
    if not esbuild.exists() or not react.is_dir() or shutil.which("node") is None:
        pytest.skip("needs Node.js and packages: make test-ui")
    name = f"react{request.param}.js"
    command = [
        esbuild, "tests/react-app.jsx", "--bundle", "--jsx=automatic", "--format=esm",
        f"--outfile={site.folder / name}",
        '--define:process.env.NODE_ENV="development"', f"--alias:react={react / 'react'}",
        f"--alias:react-dom={react / 'react-dom'}", "--log-level=error",
    ]  # fmt: skip
    subprocess.run(command, cwd=FOLDER, check=True, capture_output=True)
    return name


@pytest.fixture
def turn(site):
    return site.ask("Which one?", ["alpha", "beta"])


@pytest.fixture
def page(site, tabs, turn, bundle):
    data = html.escape(json.dumps({"handle": turn.handle, "chunks": ["alpha", "beta"]}))
    url = site.plain(bundle[:-3], '<div id="root"></div><div id="portal"></div>')
    file = site.folder / f"{bundle[:-3]}.html"
    text = file.read_text(encoding="utf-8").replace("<body>", f'<body data-turn="{data}">')
    file.write_text(
        text.replace("</body>", f'<script type="module" src="{bundle}"></script></body>'), encoding="utf-8"
    )
    page = tabs.open(url)
    page.wait_for_function("() => document.querySelector('#words')?.innerText.length >= 99")
    return page


def settled(page):
    page.wait_for_function("() => beacon.stats().recorded && !beacon.stats().queued")
    assert page.evaluate("beacon.stats().errors") == 0


def test_streaming_in_strict_mode_counts_every_card_once(site, page, turn):
    rows = site.wait_for(turn, "impression", n=2)
    settled(page)
    assert sorted(row["chunk_id"] for row in rows) == ["alpha", "beta"]
    assert site.signals(turn, "dwell") == []
    page.goto("about:blank")
    assert {row["chunk_id"] for row in site.wait_for(turn, "dwell", n=2)} == {"alpha", "beta"}


def test_a_portal_belongs_to_its_turn_and_source(site, page, turn):
    page.get_by_role("button", name="open beta").click()
    page.get_by_role("button", name="keep").click()
    (row,) = site.wait_for(turn, "bookmark")
    assert row["chunk_id"] == "beta"
    page.evaluate("() => new Promise((done) => setTimeout(done, 1200))")
    page.get_by_role("button", name="close").click()
    page.goto("about:blank")
    assert "beta" in {row["chunk_id"] for row in site.wait_for(turn, "dwell")}


def test_a_vote_and_its_undo(site, page, turn):
    up = page.get_by_role("button", name="Helpful", exact=True)
    up.click()
    settled(page)
    assert [row["chunk_id"] for row in site.signals(turn, "thumbs_up")] == [None]
    up.click()
    settled(page)
    assert site.signals(turn, "thumbs_up") == []
