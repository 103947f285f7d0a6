"""What cannot be tested for want of a framework is left out, and not an error of the run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["llamaindex", "haystack", "dspy"])
def test_the_tests_of_a_framework_that_is_not_installed_are_left_out(name: str) -> None:
    """pytest does not ask about a folder that ``testpaths`` names: its files are refused one by one."""
    if importlib.util.find_spec(f"ragwheel_{name}"):
        pytest.skip(f"ragwheel-{name} is installed here")
    folder = f"integrations/{name}/tests"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", folder]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert f"left out: {folder} (needs ragwheel-{name}" in run.stdout, run.stdout + run.stderr
    assert run.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, run.stdout
