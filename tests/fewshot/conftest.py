"""A store whose people ask about four things, in many words, and like the answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fewshot.helpers import liked, questions

from ragwheel.testing import TraceStore


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[TraceStore]:
    with TraceStore(tmp_path / "app.db") as found:
        yield found


@pytest.fixture
def full(traces: TraceStore) -> TraceStore:
    for n, (topic, question) in enumerate(itertools.islice(questions(), 80)):
        liked(traces, question, chunk=topic, user_id=f"u{n % 40}", session_id=f"s{n}")
    return traces
