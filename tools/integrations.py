"""Tests each integration with the lowest and the newest release of its framework: ``make test-integrations``.

    python tools/integrations.py [NAME[-lowest|-newest]...]     e.g.  llamaindex  dspy-lowest

The lowest release is the bound in ``integrations/NAME/pyproject.toml``, which is the only place that has
it; the newest is what the package index gives. Each runs in a virtual environment of its own,
``.venv-NAME-WHICH``; with the newest release the framework's page of the docs runs, too. When all ran,
the table of features in ``docs/frameworks.md`` is written from what the contract's tests said.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "frameworks.md"
TABLE = re.compile(r"(?<=<!-- features -->\n\n).*?(?=\n\n<!-- end of features -->)", re.DOTALL)
PAGES = {"langchain": "langchain.md or langgraph.md"}


@dataclass(frozen=True)
class TestedRelease:
    """An integration and which release of its framework it is tested with."""

    name: str
    which: str
    package: str
    lowest: str

    @property
    def label(self) -> str:
        """``llamaindex-lowest``."""
        return f"{self.name}-{self.which}"

    @property
    def environment(self) -> Path:
        """Its virtual environment."""
        return ROOT / f".venv-{self.label}"

    @property
    def report(self) -> Path:
        """What pytest said, in JUnit's XML."""
        return self.environment / "report.xml"


def runs() -> Iterator[TestedRelease]:
    """Every integration with both releases; the framework is the last dependency in its project file."""
    for path in sorted((ROOT / "integrations").glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        package, _, lowest = project["dependencies"][-1].partition(">=")
        for which in ("lowest", "newest"):
            yield TestedRelease(path.parent.name, which, package, lowest)


def install(run: TestedRelease) -> None:
    """Make the environment, or bring it up to date."""
    python = run.environment / "bin" / "python"
    environment = {**os.environ, "UV_LINK_MODE": "copy"}  # nltk refuses hard-linked data
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(run.environment)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], check=True)
    framework = f"{run.package}=={run.lowest}" if run.which == "lowest" else run.package
    project = ROOT / "integrations" / run.name
    subprocess.run(
        [
            str(run.environment / "bin" / "uv"), "pip", "install", "-q", "--upgrade", "--python", str(python),
            "-e", ".[deploy]", "-e", str(project), framework, "--group", "test",
            "--group", f"{project / 'pyproject.toml'}:test",
        ],
        cwd=ROOT, env=environment, check=True,
    )  # fmt: skip


def run_tests(run: TestedRelease) -> bool:
    """Run the integration's tests and those of its page; return whether they passed."""
    selected = "integrations"
    if run.which == "newest":
        selected = f"integrations or quickstart_{run.name} or {_pages(run.name)}"
    done = subprocess.run(
        [
            str(run.environment / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider",
            "-o", "filterwarnings=default", "--disable-warnings", f"--junit-xml={run.report}",
            f"integrations/{run.name}/tests",
            "tests/house/test_documents.py", "tests/examples/test_quickstarts.py", "-k", selected,
        ],
        cwd=ROOT, check=False,
    )  # fmt: skip
    return done.returncode == 0


def _pages(name: str) -> str:
    pages = PAGES.get(name, f"{name}.md").split(" or ")
    return " or ".join(f"test_document_runs and {page}" for page in pages)


def features(run: TestedRelease) -> dict[str, str]:
    """Return what the contract's tests said of each feature: ``yes``, or the reason why not."""
    said = {}
    for case in ET.parse(run.report).iter("testcase"):
        name = str(case.get("name"))
        if not str(case.get("classname")).rpartition(".")[2].startswith("Test") or "[" in name:
            continue
        skipped = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        said[name.removeprefix("test_")] = (
            "fails" if failed else "yes" if skipped is None else str(skipped.get("message"))
        )
    return said


def write_table(tested: Sequence[TestedRelease]) -> None:
    """Write the table of features into the page: a column for each framework."""
    from ragwheel.testing import FEATURES

    names = sorted({run.name for run in tested})
    results = {run.label: features(run) for run in tested}
    notes: list[str] = []
    lines = [
        "| | " + " | ".join(_heading(name, tested) for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for feature, label in FEATURES.items():
        cells = []
        for name in names:
            both = {results[f"{name}-{which}"].get(feature, "not tested") for which in ("lowest", "newest")}
            cells.append(_cell(both, notes))
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{n}. {note}" for n, note in enumerate(notes, 1))]
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: "\n".join(lines).rstrip(), page), encoding="utf-8")


def _cell(both: set[str], notes: list[str]) -> str:
    if both == {"yes"}:
        return "yes"
    reasons = sorted(both - {"yes"})
    for reason in reasons:
        if reason not in notes:
            notes.append(reason)
    return ("newest only" if "yes" in both else "no") + "".join(f" ({notes.index(r) + 1})" for r in reasons)


def _heading(name: str, tested: Sequence[TestedRelease]) -> str:
    versions = []
    for run in tested:
        if run.name == name:
            shown = subprocess.run(
                [str(run.environment / "bin" / "python"), "-c",
                 f"import importlib.metadata as m; print(m.version({run.package!r}))"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            versions.append(shown.stdout.strip())
    package = next(run.package for run in tested if run.name == name)
    return f"{package} {' and '.join(versions)}"


def main(wanted: Sequence[str]) -> int:
    """Test what was asked for, by default everything; the exit status."""
    every = list(runs())
    chosen = [run for run in every if not wanted or run.name in wanted or run.label in wanted]
    if not chosen:
        sys.stderr.write(f"{' '.join(wanted)}: allowed are {', '.join(run.label for run in every)}\n")
        return 2
    failed = []
    for run in chosen:
        sys.stdout.write(
            f"== {run.label}: {run.package} {'==' + run.lowest if run.which == 'lowest' else ''}\n"
        )
        sys.stdout.flush()
        install(run)
        if not run_tests(run):
            failed.append(run.label)
    if len(chosen) == len(every) and not failed:
        write_table(chosen)
    sys.stdout.write(f"failed: {', '.join(failed)}\n" if failed else "all passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
