"""What holds for the repository as a whole: versions, pins, paths, layers, the CI command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]


def repository_files() -> list[Path]:
    """Every file that git keeps or would keep; all but hidden and built ones where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.decode().strip("\0").split("\0")
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    skip = {"build", "dist", "__pycache__"}
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(p in skip or p.startswith(".") for p in path.relative_to(ROOT).parts)
    ]


def test_no_file_mentions_a_path_of_the_machine_it_was_written_on():
    own = {str(ROOT), f"{Path.home()}{os.sep}"} - {os.sep}
    homes = re.compile(r"(?<![\w.~-])/(?:home|Users)/[a-z]|[A-Z]:\\Users\\")
    guilty = []
    for path in repository_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        if path != Path(__file__) and (homes.search(text) or any(name in text for name in own)):
            guilty.append(path.relative_to(ROOT).as_posix())
    assert guilty == []


INTEGRATIONS = sorted(
    path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "integrations").glob("*/pyproject.toml")
)


@pytest.mark.parametrize("project", [".", *INTEGRATIONS])
def test_version_is_declared_once(project):
    folder = ROOT / project
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in settings["project"]["dynamic"]
    declared = [
        path
        for path in (folder / "src").rglob("*.py")
        if re.search(r"(?m)^__version__\s*=", path.read_text("utf-8"))
    ]
    assert declared == [folder / settings["tool"]["hatch"]["version"]["path"]]


def test_everything_we_ask_for_is_pinned():
    pinned = set(re.findall(r"(?m)^([a-z0-9][a-z0-9.-]*)==", (ROOT / "constraints.txt").read_text()))
    project = PYPROJECT["project"]
    asked = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    asked += [r for group in PYPROJECT["dependency-groups"].values() for r in group if isinstance(r, str)]
    names = {re.split(r"[\[<>=~! ;]", requirement)[0].lower() for requirement in asked}
    # UI frameworks pin much of what we pin otherwise: `make test-ui` gives them an environment of their own
    assert names - pinned == {"ragwheel", "streamlit", "gradio", "chainlit"}
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()


def test_every_module_stands_on_one_side_of_the_wall():
    wall = next(
        contract for contract in CONTRACTS if "ragwheel.capture" in contract.get("source_modules", ())
    )
    online = set(wall["source_modules"])
    offline = {name for name in wall["forbidden_modules"] if name.startswith("ragwheel.")}
    package = ROOT / "src" / "ragwheel"
    real = {
        f"ragwheel.{p.stem}" for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert online & offline == set()
    assert online | offline == real - {"ragwheel.__init__", "ragwheel.__main__"}


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("exec ")]
    assert commands == ["exec make test"]
    assert re.search(r"(?m)^make test\b", readme)
    assert len(readme.splitlines()) <= 150


def venv_script(tmp_path: Path, python: str) -> subprocess.CompletedProcess[str]:
    """Run tools/venv.sh with a stand-in for the Python interpreter."""
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    return subprocess.run(
        ["sh", "tools/venv.sh", str(tmp_path / "venv"), "any", "-e", "."],
        cwd=ROOT, env={**os.environ, "PYTHON": str(fake)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_old_python_is_refused_with_what_to_do(tmp_path):
    done = venv_script(tmp_path, "exit 1")
    assert done.returncode == 1
    assert "no Python 3.10 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_without_ensurepip_is_refused_with_what_to_do(tmp_path):
    done = venv_script(tmp_path, 'case "$2" in *ensurepip*) exit 1 ;; esac')
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()
