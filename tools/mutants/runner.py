"""Runs the tests that reach a mutant against it, each mutant in a process of its own.

A copy of ``src`` comes first on the path of that process and of all that it starts, so that forked and
spawned programs under test run the mutant, too. What the tests import besides ragwheel is imported once,
before forking.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tools.mutants.operators import Mutant

__all__ = ["KILLED", "SURVIVED", "UNREACHED", "Reach", "reach_of", "run_mutant", "source_copy"]

ROOT = Path(__file__).parents[2]
KILLED, SURVIVED, UNREACHED = "killed", "survived", "unreached"
LONGEST_TEST_S = 20.0
"""A test that takes longer is not run against mutants."""
MOST_TESTS_S = 90.0
"""So much of the tests that reach a mutant are run, quickest files first."""
WHOLE_FILES_S = 10.0
"""Files with a test that reaches the mutant are run whole, if they take no longer than this together."""
IMPORTED_ONCE = (
    "asyncio", "hypothesis", "httpx", "msgspec", "pydantic", "sqlite_utils", "opentelemetry.sdk.trace",
    "opentelemetry.proto.trace.v1.trace_pb2", "starlette.applications", "uvicorn", "numpy", "scipy.stats",
    "pyarrow",
    "ibis", "duckdb", "ir_measures", "bm25s", "typer.testing", "rich", "langchain_core.retrievers",
)  # fmt: skip
PYTEST = [
    "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=no", "--hypothesis-seed=0",
    "-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestAssertRewriteWarning",
]  # fmt: skip


@dataclass
class Reach:
    """Which tests run which lines of which files, and how long each takes."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a mutant; all where it is run by an import alone."""
        lines = self.lines.get(mutant.path.as_posix(), {})
        reached: dict[str, None] = {}
        for line in range(mutant.line, mutant.end_line + 1):
            reached.update(dict.fromkeys(lines.get(line, ())))
        if "" in reached and not mutant.function:
            return list(self.seconds)
        reached.pop("", None)
        if not reached:  # a default value, which is computed by the import
            reached.update(dict.fromkeys(name for names in lines.values() for name in names if name))
        files = {name.partition("::")[0] for name in reached}
        beside = [name for name in self.seconds if name.partition("::")[0] in files]
        cheap = (
            sum(self.seconds[name] for name in beside) <= WHOLE_FILES_S
        )  # fixtures are shared within a file
        return beside if cheap else [name for name in reached if name in self.seconds]


class _Timing:
    """Notes how long each test took, and tells coverage which test is running."""

    def __init__(self, coverage: object) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)  # type: ignore[attr-defined]
        started = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - started
        self.coverage.switch_context("")  # type: ignore[attr-defined]


class _Selection:
    """Keeps the tests that reach the mutant, file by file, quickest files first."""

    def __init__(self, tests: dict[str, float]) -> None:
        self.tests = tests

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        cost: dict[str, float] = {}
        for nodeid, seconds in self.tests.items():
            cost[nodeid.partition("::")[0]] = cost.get(nodeid.partition("::")[0], 0.0) + seconds
        kept = [item for item in items if item.nodeid in self.tests]
        items[:] = sorted(kept, key=lambda item: cost[item.nodeid.partition("::")[0]])


@contextlib.contextmanager
def source_copy() -> Iterator[Path]:
    """A copy of ``src`` whose compiled files stay valid, first on the path of what is started from here."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "src"
        shutil.copytree(ROOT / "src", copy, copy_function=shutil.copy2)
        yield copy


def import_once() -> None:
    """Import what the tests need besides the code under test."""
    for name in IMPORTED_ONCE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _in_child(copy: Path, report: Path, work: str) -> None:
    """Become a process group of its own that runs tests on the copy of the sources."""
    os.setsid()
    output = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONPATH=str(copy), PYTHONDONTWRITEBYTECODE="1", CI="1", RAGWHEEL_MUTANT=work)
    sys.path.insert(0, str(copy))
    os.chdir(ROOT)


def _fork_and_wait(child: Callable[[], int], timeout_s: float) -> int | None:
    """Fork, run ``child`` there and return its exit status; None when it had to be ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = child()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    deadline = time.monotonic() + timeout_s
    status: int | None = None
    while status is None and time.monotonic() < deadline:
        done, raw = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(raw)
        else:
            time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if status is None:
        os.waitpid(pid, 0)
    return status


def reach_of(areas: list[str], sources: list[Path], copy: Path, scratch: Path) -> Reach:
    """Run the tests of some folders once, on unchanged code, and note which lines each runs."""
    answer = scratch / "reach.json"

    def child() -> int:
        _in_child(copy, scratch / "reach.log", "none")
        import coverage

        watched = [str(copy / path.relative_to("src")) for path in sources]
        measured = coverage.Coverage(data_file=None, include=watched, config_file=False, concurrency="thread")
        timing = _Timing(measured)
        measured.start()
        status = pytest.main([*PYTEST, *areas], plugins=[timing])
        measured.stop()
        data = measured.get_data()
        lines = {
            ("src" / Path(file).relative_to(copy)).as_posix(): {
                line: [name for name in names if not name or timing.seconds.get(name, 0) <= LONGEST_TEST_S]
                for line, names in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        answer.write_text(json.dumps([timing.seconds, lines]))
        return int(status)

    status = _fork_and_wait(child, 3600)
    if status != 0:
        tail = (scratch / "reach.log").read_text(errors="replace")[-3000:]
        raise SystemExit(f"the tests fail on unchanged code (status {status}):\n{tail}")
    seconds, lines = json.loads(answer.read_text())
    quick = {name: took for name, took in seconds.items() if took <= LONGEST_TEST_S}
    return Reach(quick, {file: {int(n): names for n, names in of.items()} for file, of in lines.items()})


def run_mutant(mutant: Mutant, source: str, reach: Reach, copy: Path, scratch: Path) -> tuple[str, str]:
    """Run the tests that reach a mutant against it; returns the outcome and the test that noticed."""
    tests: dict[str, float] = {}
    total = 0.0
    for name in sorted(reach.tests(mutant), key=lambda name: reach.seconds.get(name, 0.0)):
        total += reach.seconds.get(name, 0.0)
        if tests and total > MOST_TESTS_S:
            break
        tests[name] = reach.seconds.get(name, 0.0)
    if not tests:
        return UNREACHED, ""
    target = copy / mutant.path.relative_to("src")
    content = source.encode()
    log = scratch / f"{mutant.key}.log"

    def child() -> int:
        _in_child(copy, log, mutant.key)
        files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
        return int(pytest.main([*PYTEST, "-x", *files], plugins=[_Selection(tests)]))

    stale = importlib.util.cache_from_source(str(target))
    Path(stale).unlink(missing_ok=True)
    try:
        target.write_bytes(content[: mutant.start] + mutant.replacement.encode() + content[mutant.end :])
        status = _fork_and_wait(child, 30 + 6 * sum(tests.values()))
    finally:
        target.write_bytes(content)
    text = log.read_text(errors="replace") if log.exists() else ""
    log.unlink(missing_ok=True)
    noticed = next(
        (line.split()[1] for line in text.splitlines() if line.startswith(("FAILED", "ERROR "))), ""
    )
    if status == 0:
        return SURVIVED, f"{len(tests)} tests"
    if status in (4, 5):  # nothing could be run
        return UNREACHED, text[-300:]
    return KILLED, noticed or ("it hung" if status is None else f"status {status}")
