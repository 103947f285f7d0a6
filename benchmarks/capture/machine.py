"""What the machine is and what processes on it use, read from /proc (Linux)."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import time
from pathlib import Path

__all__ = ["cpu_s", "describe", "free_port", "others_busy", "rss_mb", "tree", "wait_for_quiet"]

_TICKS_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """``pid`` and its living descendants."""
    found, todo = [], [pid]
    while todo:
        at = todo.pop()
        try:
            todo += [
                int(child)
                for task in Path(f"/proc/{at}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
        except OSError:  # ended in the meantime
            continue
        found.append(at)
    return found


def cpu_s(pids: list[int]) -> float:
    """CPU seconds that the living processes ``pids`` have used, user and system."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_S


def rss_mb(pids: list[int]) -> float:
    """Resident memory of ``pids`` together, in megabytes (pages they share count once each)."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * _PAGE / 1e6


def _ticks() -> tuple[int, int]:
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return sum(fields) - fields[3] - fields[4], sum(fields)


def others_busy(sample_s: float = 0.4) -> float:
    """Cores that everybody else is using right now (sampled while we do nothing)."""
    busy, total = _ticks()
    time.sleep(sample_s)
    busy_after, total_after = _ticks()
    return round((busy_after - busy) / max(1, total_after - total) * (os.cpu_count() or 1), 2)


def wait_for_quiet(limit: float = 0.5, at_most_s: float = 2.0) -> float:
    """Wait a bounded time for a moment with fewer than ``limit`` busy cores; returns what it found."""
    deadline = time.monotonic() + at_most_s
    while (busy := others_busy()) > limit and time.monotonic() < deadline:
        continue
    return busy


def free_port() -> int:
    """A loopback port whose successor is free too."""
    for port in range(20000 + os.getpid() % 5000, 30000, 2):
        try:
            for candidate in (port, port + 1):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port
    raise OSError(
        "no two neighbouring free ports between 20000 and 30000 on 127.0.0.1; close a server and retry"
    )


def describe(folder: Path) -> dict[str, str | int | float]:
    """The machine, for the head of a report."""
    cpu = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory_kb / 2**20, 1),
        "disk_free_gb": round(shutil.disk_usage(folder).free / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
