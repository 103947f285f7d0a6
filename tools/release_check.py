"""Check that a release can be made: ``make release-check``.

Builds every distribution twice and compares the bytes, checks the metadata, and installs each wheel into a
fresh environment, in an empty folder outside the repository, where the first example of the README and one
smoke test for each extra run. Nothing is uploaded. What was built lies in ``dist/``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"

#: What is run where an extra is installed: the smallest thing that needs all of it.
SMOKE = {
    "": "import ragwheel; print(ragwheel.__version__)",
    "build": "import ragwheel.datasets, ragwheel.labels",
    "evaluate": "import ragwheel.evaluate; ragwheel.evaluate.parse_system('bm25')",
    "report": "import ragwheel.report",
    "deploy": "import numpy, ragwheel.deploy; ragwheel.deploy.Adapter(numpy.eye(3, dtype='float32')[None])",
    "serve": "import ragwheel.collector; ragwheel.collector.app(trust_local=True)",
    "fewshot": "import ragwheel.fewshot",
    "demo": "import bm25s, langchain_core, ragwheel.demo",
    "train": "import ragwheel.train",
}
#: Extras that take gigabytes or a browser framework; checked when they are named.
LARGE = ("train",)


class ReleaseError(Exception):
    """Something that would make a bad release; the text says what, and what to do."""


@dataclass(frozen=True)
class Distribution:
    """A folder with a ``pyproject.toml``, and what was built of it."""

    folder: Path
    wheel: Path
    sdist: Path


def say(text: str) -> None:
    """Print a line at once, in a pipe too."""
    print(text, flush=True)


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output; raise :class:`ReleaseError` when it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **(env or {})},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ReleaseError(f"$ {' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def build_twice(folder: Path, epoch: str) -> Distribution:
    """Build the sdist, and the wheel from it, twice; both times must give the same bytes."""
    sums: list[dict[str, str]] = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as target:
            run(
                sys.executable,
                "-m",
                "build",
                "--outdir",
                target,
                folder,
                cwd=ROOT,
                env={"SOURCE_DATE_EPOCH": epoch},
            )
            built = sorted(Path(target).iterdir())
            sums.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built})
            for path in built:
                shutil.copy2(path, DIST / path.name)
    if sums[0] != sums[1]:
        raise ReleaseError(f"{folder}: two builds of one commit differ: {sums}")
    wheel = next(DIST / name for name in sums[0] if name.endswith(".whl"))
    sdist = next(DIST / name for name in sums[0] if name.endswith(".tar.gz"))
    return Distribution(folder, wheel, sdist)


def check_metadata(distribution: Distribution) -> None:
    """The wheel's metadata is complete, and its README has no link that works in the repository only."""
    with zipfile.ZipFile(distribution.wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(name).decode("utf-8"))
        has_licence = any(".dist-info/licenses/" in name for name in archive.namelist())
    missing = [
        key for key in ("License-Expression", "Requires-Python", "Summary", "Keywords") if not metadata[key]
    ]
    if not metadata.get_all("Project-URL"):
        missing.append("Project-URL")
    if missing or not has_licence:
        raise ReleaseError(
            f"{distribution.wheel.name}: no {', '.join(missing) or 'licence file'} in the metadata"
        )
    relative = re.findall(
        r"\]\((?!https?:|#|mailto:)[^)]+\)|src=\"(?!https?:)[^\"]+\"", str(metadata.get_payload())
    )
    if relative:
        raise ReleaseError(
            f"{distribution.wheel.name}: links that break on the package index: {relative[:5]}"
        )
    with tarfile.open(distribution.sdist) as archive:
        names = archive.getnames()
    private = [name for name in names if re.search(r"\.db$|\.venv|node_modules|__pycache__", name)]
    if private:
        raise ReleaseError(f"{distribution.sdist.name} contains {private[:5]}")


def check_installed(wheels: list[Path], extra: str, code: str) -> None:
    """Install ragwheel's wheel with an extra into a fresh environment and run ``code`` in an empty folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, python = Path(scratch, "work"), Path(scratch, "venv", "bin", "python")
        folder.mkdir()
        run(sys.executable, "-m", "venv", Path(scratch, "venv"), cwd=folder)
        first = f"{wheels[0]}[{extra}]" if extra else str(wheels[0])
        run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            first,
            *wheels[1:],
            cwd=folder,
        )
        run(python, "-c", code, cwd=folder)
        run(python.with_name("ragwheel"), "--help", cwd=folder)
        if extra == "build":
            Path(folder, "example.py").write_text(first_example(), "utf-8")
            run(python, "example.py", cwd=folder)
            run(python.with_name("ragwheel"), "build", "--out", "dataset", cwd=folder)


def first_example() -> str:
    """The first Python block of the README."""
    block = re.search(r"(?ms)^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"))
    if block is None:
        raise ReleaseError("README.md has no Python block any more: it should begin with an example")
    return block[1]


def check_npm() -> None:
    """Pack the browser package and load it from a fresh folder, as a module and by ``require``."""
    source = ROOT / "integrations" / "browser"
    if not shutil.which("npm"):
        raise ReleaseError(
            "npm is not installed; the browser package cannot be checked. Install Node.js 20 or newer"
        )
    run("npm", "ci", "--silent", cwd=source)
    run("npm", "pack", "--silent", "--pack-destination", DIST, cwd=source)
    (archive,) = DIST.glob("ragwheel-beacon-*.tgz")
    with tempfile.TemporaryDirectory() as scratch:
        run("npm", "init", "-y", cwd=Path(scratch))
        run("npm", "install", "--silent", archive, cwd=Path(scratch))
        run("node", "-e", "require('ragwheel-beacon')", cwd=Path(scratch))
        run("node", "--input-type=module", "-e", "await import('ragwheel-beacon')", cwd=Path(scratch))


def licences(wheel: Path) -> list[str]:
    """The licences of what ragwheel's light core brings along, one line for each package."""
    with tempfile.TemporaryDirectory() as scratch:
        python = Path(scratch, "venv", "bin", "python")
        run(sys.executable, "-m", "venv", Path(scratch, "venv"), cwd=Path(scratch))
        run(
            python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=Path(scratch)
        )
        inspected = json.loads(run(python, "-m", "pip", "inspect", cwd=Path(scratch)))
    return sorted(
        f"{each['metadata']['name']} | {_licence(each['metadata'])}" for each in inspected["installed"]
    )


def _licence(metadata: dict[str, Any]) -> str:
    classifiers = [c.split(" :: ")[-1] for c in metadata.get("classifier", ()) if c.startswith("License")]
    return str(
        metadata.get("license_expression") or "; ".join(classifiers) or metadata.get("license", "unknown")
    )


def main() -> int:
    """Run all checks; the exit status is 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--large", action="store_true", help=f"also the extras {', '.join(LARGE)}: gigabytes")
    parser.add_argument("--no-npm", action="store_true", help="leave the browser package out")
    options = parser.parse_args()
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    epoch = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    try:
        folders = [ROOT, *sorted(path.parent for path in ROOT.glob("integrations/*/pyproject.toml"))]
        built = []
        for folder in folders:
            say(f"build    {folder.relative_to(ROOT) if folder != ROOT else 'ragwheel'}, twice")
            built.append(build_twice(folder, epoch))
            check_metadata(built[-1])
        run(
            sys.executable,
            "-m",
            "twine",
            "check",
            "--strict",
            *(p for d in built for p in (d.wheel, d.sdist)),
            cwd=ROOT,
        )
        for extra, code in SMOKE.items():
            if extra not in LARGE or options.large:
                say(f"install  ragwheel{f'[{extra}]' if extra else ''} in a fresh environment")
                check_installed([built[0].wheel], extra, code)
        for each in built[1:]:
            module = each.wheel.name.partition("-")[0]
            say(f"install  {module} in a fresh environment")
            check_installed([built[0].wheel, each.wheel], "", f"import {module}")
        if not options.no_npm:
            say("pack     ragwheel-beacon, installed in a fresh folder")
            check_npm()
        (DIST / "licences.txt").write_text("\n".join(licences(built[0].wheel)) + "\n", "utf-8")
    except ReleaseError as error:
        say(f"not ready to release\n{error}")
        return 1
    say(f"ready to release: {len(list(DIST.iterdir()))} files in {DIST.relative_to(ROOT)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
