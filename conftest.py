"""What every test of the repository stands on: the library's own and the integrations'."""

from __future__ import annotations

import functools
import importlib.util
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# Read when ragwheel is imported: what it would swallow in a host app, it raises here.
os.environ["RAGWHEEL_STRICT"] = "1"
# Tests start hundreds of processes, and each would compile pandas and ibis again. The mutation runner, which
# edits modules in place, must not keep what was compiled.
if "RAGWHEEL_MUTANT" not in os.environ:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
# Nothing is fetched from a hub, whatever a test asks datasets to open.
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).parent

# Test folders whose code needs an extra, and a module that tells whether that extra is installed.
# On the light core alone (`make test-py`) they are left out, and the header of the run says so.
NEEDS_EXTRA = {
    "tests/benchmarks/test_crowds.py": ("build", "ibis"),
    "tests/browser": ("serve", "starlette"),
    "tests/capture/test_results.py": ("build", "ibis"),
    "tests/cli": ("demo", "bm25s"),
    "tests/client": ("serve", "starlette"),
    "tests/collector": ("serve", "starlette"),
    "tests/datasets": ("build", "ibis"),
    "tests/demo": ("demo", "bm25s"),
    "tests/deploy": ("deploy", "safetensors"),
    "tests/endpoints": ("fewshot", "jinja2"),
    "tests/evaluate": ("evaluate", "ir_measures"),
    "tests/experiments": ("evaluate", "ir_measures"),
    "tests/exporting": ("build", "ibis"),
    "tests/fleet": ("build", "ibis"),
    "tests/fewshot": ("fewshot", "jinja2"),
    "tests/importing/test_pages.py": ("build", "ibis"),
    "tests/importing/test_whole.py": ("build", "ibis"),
    "tests/offline/test_examples.py": ("build", "ibis"),
    "tests/llm_judge": ("evaluate", "ir_measures"),
    "tests/judgments": ("build", "ibis"),
    "tests/labels": ("build", "ibis"),
    "tests/report": ("report", "matplotlib"),
    "tests/store/test_erase_datasets.py": ("build", "ibis"),
    "tests/train": ("train", "sentence_transformers"),
}

# Test folders of integrations whose framework is not part of the development environment:
# `make test-integrations` installs each into environments of its own.
INTEGRATIONS = {
    f"integrations/{name}/tests": f"ragwheel_{name}" for name in ("llamaindex", "haystack", "dspy")
}

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@functools.cache
def _left_out() -> dict[Path, str]:
    """Return the folders that cannot be tested here, and what each needs."""
    needs = {folder: (f"ragwheel[{extra}]", module) for folder, (extra, module) in NEEDS_EXTRA.items()}
    needs |= {
        folder: (f"{module.replace('_', '-')}: make test-integrations", module)
        for folder, module in INTEGRATIONS.items()
    }
    return {
        ROOT / folder: what
        for folder, (what, module) in needs.items()
        if importlib.util.find_spec(module) is None
    }


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the folders whose extra or framework is not installed, and every file below them.

    pytest does not ask about a folder that ``testpaths`` or the command names, only about what is in it.
    """
    left_out = _left_out()
    return True if any(path in left_out for path in (collection_path, *collection_path.parents)) else None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which folders were left out, and why, and how to draw the examples of property tests again."""
    left_out = [f"left out: {f.relative_to(ROOT)} (needs {what})" for f, what in _left_out().items()]
    return [*left_out, f"examples are drawn with --hypothesis-seed={config.option.hypothesis_seed}"]


@pytest.fixture(autouse=True)
def _clean_slate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting from outside reaches a test, and no runtime outlives one."""
    for name in set(os.environ) - {"RAGWHEEL_STRICT", "RAGWHEEL_TEST_DATA"}:
        if name.startswith("RAGWHEEL_"):
            monkeypatch.delenv(name)
    if context := sys.modules.get("ragwheel.capture.context"):
        for variable in (context.the_scope, context.running, context.last_retrieval_var):
            variable.set(None)
    tracer = sys.gettrace()
    yield
    if sys.gettrace() is not tracer:
        sys.settrace(tracer)
        pytest.fail("the test ended what traces this thread, and with it the measuring of coverage")
    if runtime := sys.modules.get("ragwheel.runtime"):
        runtime.shutdown()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of collections in BEIR layout (`scifact/`, `noveleval/`, ...), or a skip that says why."""
    folder = os.environ.get("RAGWHEEL_TEST_DATA")
    if not folder:
        pytest.skip("RAGWHEEL_TEST_DATA is not set: point it at a folder of collections in BEIR layout")
    if not Path(folder).is_dir():
        pytest.skip(f"RAGWHEEL_TEST_DATA is {folder!r}, which is no folder")
    return Path(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draw other examples in each run, by a seed that the header names and all processes of the run share.

    Ctrl-C works in the programs that tests start, also where this run ignores it (begun with ``&``).
    """
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
