"""What docs/beacon.md tells a stranger to paste works: a click in its page arrives in `ragwheel show`."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def notes(playwright, tmp_path):
    """The document's app, served from an empty folder with the package installed into it."""
    pytest.importorskip("fastapi", reason="the document's app is one of FastAPI's")
    document = (ROOT / "docs" / "beacon.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", document)
    (tmp_path / "notes.py").write_text(code)
    package = ROOT / "integrations" / "browser"
    shutil.copytree(package / "src", tmp_path / "node_modules" / "ragwheel-beacon" / "src")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "notes:app", f"--fd={listener.fileno()}"],
            cwd=tmp_path, pass_fds=[listener.fileno()],
        )  # fmt: skip
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.terminate()
        server.wait()


def test_a_click_arrives_in_ragwheel_show(notes, tabs, make, tmp_path):
    page = tabs.open(notes)
    page.get_by_role("link", name="Reset a password").click()
    page.get_by_role("button", name="Helpful").click()

    def shown():
        done = subprocess.run(
            [Path(sys.executable).with_name("ragwheel"), "show"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout if "thumbs_up" in done.stdout else None

    printed = make.eventually(shown)
    assert "How do I reset my password?" in printed
    assert re.search(r"reset .*\n.*click", printed), printed
