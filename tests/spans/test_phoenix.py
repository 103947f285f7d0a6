"""A third-party reader: what Phoenix's own conversion code makes of ragwheel's spans, sent over OTLP.

Phoenix lives in an environment of its own, whose Python is ``PYTHON``; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ragwheel-readers" / "bin" / "python"
)


@pytest.fixture(scope="module", params=["content", "no content"])
def read(request, tmp_path_factory):
    """The spans as Phoenix has them, by kind, and whether content was exported."""
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}: make that environment and pip install arize-phoenix into it")
    script, db = Path(__file__).with_name("phoenix_reader.py"), tmp_path_factory.mktemp("phoenix") / "x.db"
    done = subprocess.run(
        [PYTHON, script, db, request.param],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {span["kind"]: span for span in json.loads(done.stdout)}, request.param == "content"


def test_query_and_forty_documents_show_up(read):
    spans, content = read
    retriever = spans["RETRIEVER"]
    documents = [each["document"] for each in retriever["attributes"]["retrieval"]["documents"]]
    assert [document["id"] for document in documents] == [str(n) for n in range(40)]
    assert [document["score"] for document in documents] == [1 - n / 100 for n in range(40)]
    if content:
        assert retriever["attributes"]["input"]["value"] == "the query"
        assert [document["content"] for document in documents] == [f"text {n}" for n in range(40)]
    else:
        assert "input" not in retriever["attributes"]
        assert not any("content" in document for document in documents)


def test_session_and_place_in_the_trace(read):
    spans, content = read
    assert spans["RETRIEVER"]["parent"] == spans["CHAIN"]["span"]
    for span in spans.values():
        assert span["attributes"]["session"]["id"] == "s1"
        assert span["attributes"]["user"]["id"] == "u1"
    if content:
        assert spans["CHAIN"]["attributes"]["input"]["value"] == "the question"
        assert spans["CHAIN"]["attributes"]["output"]["value"] == "the answer [1]"
