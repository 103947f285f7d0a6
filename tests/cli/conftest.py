"""The command line as a person has it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ragwheel.testing.traces import TraceSpec, write_traces

Ragwheel = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-c", "from ragwheel.cli import main; main()"]


@pytest.fixture
def ragwheel(tmp_path) -> Ragwheel:
    """Run ``ragwheel ARGS`` in an empty folder and return what it printed and its exit code."""

    def run(*args: object, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "cwd"
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            [*COMMAND, *map(str, args)],
            input=typed,
            cwd=folder,
            env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def traces(tmp_path_factory) -> Path:
    """A database of 400 turns; only to be read."""
    path = tmp_path_factory.mktemp("traces") / "app.db"
    write_traces(path, TraceSpec(turns=400, queries=60))
    path.chmod(0o600)
    return path
