"""Progress of long commands where there is no terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from ragwheel.cli import screen


@pytest.fixture
def pipe():
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def written(pipe):
    return pipe.file.getvalue().splitlines()


def test_a_pipe_gets_a_line_every_few_seconds_with_how_far_it_is(pipe, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with screen.progress(pipe, piped=True) as bar:
        task = bar.add_task("training the embedder", total=None)
        for second in range(31):
            now[0] = float(second)
            bar.update(task, completed=second, total=30)
    lines = written(pipe)
    assert len(lines) == 30 / screen.LINES_EVERY_S
    assert lines[0].startswith("training the embedder: 5 of 30")
    assert lines[-1].startswith("training the embedder: 30 of 30")


def test_what_is_quick_prints_nothing_and_other_commands_stay_silent(pipe):
    for piped in (True, False):
        with screen.progress(pipe, piped=piped) as bar:
            task = bar.add_task("building", total=3)
            bar.update(task, completed=3)
    assert written(pipe) == []
