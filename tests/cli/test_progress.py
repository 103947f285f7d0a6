"""Progress of long commands where there is no terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from ragwheel.cli import screen


@pytest.fixture
def pipe(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    monkeypatch.setattr(screen, "stderr", lambda: console)
    return console


def written(pipe):
    return pipe.file.getvalue().splitlines()


def test_a_pipe_gets_a_line_every_few_seconds_with_how_far_it_is(pipe, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    every_s = screen.LINES_EVERY_S
    with screen.reporting("training the embedder", whole="train", lines_every_s=every_s) as report:
        for second in range(31):
            now[0] = float(second)
            report("train", second, 30)
    lines = written(pipe)
    assert len(lines) == 30 / every_s
    assert lines[0].strip() == "training the embedder: 5 of 30"
    assert lines[-1].strip() == "training the embedder: 30 of 30"


def test_a_line_names_the_stage_in_words(pipe, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with screen.reporting("training", whole="train", stages={"score": "measuring"}) as report:
        now[0] = 61.0
        report("score", 3, 9)
    assert written(pipe) == ["  training: measuring 3 of 9"]


def test_what_is_quick_or_hidden_prints_nothing(pipe, monkeypatch):
    with screen.reporting("building") as report:
        report("build", 3, 3)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with screen.reporting("training", visible=False) as report:
        now[0] = 1e6
        report("train", 3, 3)
    assert written(pipe) == []
