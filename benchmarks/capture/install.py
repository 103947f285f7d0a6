"""One virtual environment per peer under the cache folder, pinned, without CUDA."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from capture.peers import expand, load
from capture.places import home, python_of

__all__ = ["install", "missing"]

DONE = "installed.txt"  # written last, so that a half-made environment is made again


def environments(peers: list[str]) -> dict[str, tuple[str, ...]]:
    """Environment name → requirements, for everything that ``peers`` need."""
    wanted: dict[str, tuple[str, ...]] = {}
    for name in peers:
        peer = load(name)
        wanted[peer.venv] = peer.requirements
        if peer.server_venv:
            wanted[peer.server_venv] = peer.server_requirements
    return wanted


def _is_installed(venv: str, requirements: tuple[str, ...]) -> bool:
    done = home() / venv / DONE
    return done.exists() and done.read_text("utf-8").splitlines() == list(requirements)


def missing(peers: list[str]) -> list[str]:
    """The peers among ``peers`` whose environments are not installed as pinned."""
    return [n for n in peers if not all(_is_installed(*wanted) for wanted in environments([n]).items())]


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def install(names: list[str]) -> None:
    """Create the environments that are not there yet; with uv where there is one, else with pip.

    No peer needs torch: uv is told never to resolve it, so that no CUDA build can come along.
    """
    home().mkdir(parents=True, exist_ok=True)
    uv = _uv()
    for venv, requirements in environments(expand(names)).items():
        if _is_installed(venv, requirements):
            print(f"{venv}: installed in {home() / venv}")
            continue
        print(f"{venv}: {', '.join(requirements)}", flush=True)
        shutil.rmtree(home() / venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home() / venv)], check=True)
        python = str(python_of(venv))
        command = [python, "-m", "pip", "install", "-q"]
        if uv:
            overrides = home() / "no-torch.txt"
            overrides.write_text("torch ; sys_platform == 'never'\n", "utf-8")
            command = [uv, "pip", "install", "-q", "--python", python, "--override", str(overrides)]
        subprocess.run([*command, *requirements], check=True)
        (home() / venv / DONE).write_text("\n".join(requirements) + "\n", "utf-8")
