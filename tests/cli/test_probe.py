"""``ragwheel probe``: how a result is read, and that nothing is stored."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ragwheel
from ragwheel import offline

APP = """
import ragwheel
ragwheel.configure("app.db")

def rows(query):
    return [{"nummer": 17, "absatz": "Ein Absatz mit Worten."}, {"nummer": 11, "absatz": "Noch ein Absatz."}]

@ragwheel.retriever(adapter=lambda row: {"id": row["nummer"], "text": row["absatz"]})
def adapted(query):
    return rows(query)

async def later(query):
    return [{"id": query, "text": "One passage."}]

def broken(query):
    return {"error": "no index"}
"""


@pytest.fixture
def app(tmp_path):
    (tmp_path / "probed_app.py").write_text(APP, encoding="utf-8")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", "from ragwheel.cli import main; main()", "probe", *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_a_function_is_read_and_nothing_is_stored(app, tmp_path):
    done = app("probed_app:rows", "was?")
    assert done.returncode == 0, done.stderr
    assert all(
        word in done.stdout for word in ("17", "Ein Absatz", "guessed: id=nummer text=absatz", "adapter")
    )
    app("probed_app:adapted", "was?")
    assert offline.status(tmp_path / "app.db").retrievals == 0


def test_a_decorated_function_is_read_with_its_adapter(app):
    probed = json.loads(app("probed_app:adapted", "was?", "--json").stdout)
    assert [chunk["id"] for chunk in probed["chunks"]] == ["17", "11"]
    assert (probed["flags"], probed["adapter"]) == ([], "")


def test_a_coroutine_function_is_awaited(app):
    probed = json.loads(app("probed_app:later", "was?", "--json").stdout)
    assert [chunk["id"] for chunk in probed["chunks"]] == ["was?"]


def test_an_unreadable_result_ends_with_code_1_and_an_adapter(app):
    done = app("probed_app:broken", "was?")
    assert done.returncode == 1
    assert "no chunks" in done.stdout
    assert "the item has: error" in done.stdout


@pytest.mark.parametrize("name", ["probed_app:nothing", "no_such_module:find", "probed_app"])
def test_a_function_that_is_not_there_is_one_line(app, name):
    done = app(name, "was?")
    assert done.returncode == 1
    assert "MODULE:FUNCTION" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_recorded_is_counted_by_source(tmp_path):
    ragwheel.configure(tmp_path / "a.db")
    for query in ("a", "b"):
        ragwheel.retriever(name="kb")(lambda query: [{"id": "1", "text": "x", "score": 0.5}, "a text"])(query)
    ragwheel.retriever(name="bad")(lambda query: 7)("q")
    ragwheel.shutdown()
    kb, bad = offline.probe_store(tmp_path / "a.db")
    assert (kb.source, kb.retrievals, kb.chunks, kb.with_id, kb.with_text, kb.with_score) == (
        "kb",
        2,
        4,
        2,
        4,
        2,
    )
    assert (bad.chunks, bad.flags) == (0, {"unreadable: no chunks": 1})
