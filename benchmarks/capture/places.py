"""Where things are: this checkout and the cache folder that holds the peers' environments."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["BENCHMARKS", "checkout", "data_folder", "home", "python_of", "run_folder", "worker_environment"]

BENCHMARKS = Path(__file__).resolve().parents[1]


def home() -> Path:
    """The cache folder: ``BENCH_HOME``, by default ``~/.cache/ragwheel-bench``."""
    return Path(os.environ.get("BENCH_HOME") or Path.home() / ".cache" / "ragwheel-bench")


def checkout() -> Path:
    """The ragwheel that is measured: ``BENCH_CHECKOUT``, by default the checkout this file lies in."""
    return Path(os.environ.get("BENCH_CHECKOUT") or BENCHMARKS.parent)


def data_folder() -> Path:
    """The generated workload (chunk pools and draws)."""
    return home() / "data"


def run_folder() -> Path:
    """Scratch folders of measured processes."""
    return home() / "run"


def python_of(venv: str) -> Path:
    """The interpreter of the environment called ``venv``."""
    return home() / venv / "bin" / "python"


def worker_environment() -> dict[str, str]:
    """Environment of a measured process: this package and this checkout's ragwheel are importable."""
    paths = [BENCHMARKS, checkout() / "src", checkout() / "integrations" / "langchain" / "src"]
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("RAGWHEEL_", "OTEL_", "LANGSMITH_"))},
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "BENCH_HOME": str(home()),
        "PYTHONHASHSEED": "0",
        "no_proxy": "127.0.0.1,localhost",
    }
