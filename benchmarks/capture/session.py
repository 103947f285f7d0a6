"""Around one measured process: scratch folder, server, memory curve, read-back, clean-up by process id."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from capture import machine
from capture.job import Job
from capture.peers import load
from capture.peers.base import sizes
from capture.places import python_of, run_folder, worker_environment
from capture.process import Process

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Session", "thin"]

LOSS_WORDS = re.compile(r"drop|full|fail|discard|exceed|timed? ?out|error", re.IGNORECASE)
Curve = list[tuple[float, float, int]]


class Session:
    """Context of one measured process, ready to run when entered.

    Attributes:
        job: the job with folder, port and server filled in.
        process: the worker.
        curve: (seconds, MB resident of its process tree, stored bytes), sampled from outside.
    """

    def __init__(self, job: Job, *, timeout_s: float, backlog: Path | None = None) -> None:
        self.job, self.timeout_s, self.backlog = job, timeout_s, backlog
        self.peer = load(job.peer)
        self.server: subprocess.Popen[bytes] | None = None
        self.process: Process
        self.curve: Curve = []
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        run_folder().mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.job.peer}-", dir=run_folder()))
        self.job = replace(self.job, folder=str(folder), port=machine.free_port())
        if self.job.keep:
            (folder / "keep").touch()
        try:
            if not self.job.bare:
                if self.backlog is not None:
                    shutil.copytree(self.backlog, folder, dirs_exist_ok=True)
                self._serve(folder)
            self.process = Process(self.job, timeout_s=self.timeout_s)
            self.process.wait_for("READY")
        except BaseException:
            self._clean_up()
            raise
        self._watcher.start()
        return self

    def _serve(self, folder: Path) -> None:
        served = self.peer.serve(folder, self.job.port)
        if served is None:
            return
        self.server, ready = served
        deadline = time.monotonic() + 120
        while not ready():
            if self.server.poll() is not None or time.monotonic() > deadline:
                log = (folder / "server.log").read_text(errors="replace")[-1500:]
                raise RuntimeError(f"the server of {self.job.peer} did not start: {log}")
            time.sleep(0.2)
        self.job = replace(self.job, server_pid=self.server.pid)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._watcher.join()
        self._clean_up()

    def _clean_up(self) -> None:
        if hasattr(self, "process"):
            self.process.close()
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(15)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        shutil.rmtree(self.job.folder, ignore_errors=True)

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(0.1):
            rss = machine.rss_mb(machine.tree(self.process.popen.pid))
            if rss:
                stored = sizes(self.peer.stored_at(self.job.path))
                self.curve.append((round(time.monotonic() - began, 2), round(rss, 1), stored))

    def end(self) -> dict[str, Any]:
        """The worker's result once it has flushed and ended."""
        result = self.process.end()
        self._stop.set()
        stored = sizes(self.peer.stored_at(self.job.path))
        return {**result, "stored_bytes": stored, "curve": thin(self.curve, 40)}

    def kill(self) -> int:
        """SIGKILL the worker; how many calls had returned."""
        self.process.kill()
        if self.server is not None:
            self.peer.settle(self.job.path)
        (returned,) = struct.unpack("<q", (self.job.path / "progress").read_bytes())
        return int(returned)

    def verify(self, returned: int) -> dict[str, Any]:
        """What ``capture.verify`` says about the store."""
        done = subprocess.run(
            [str(python_of(self.peer.venv)), "-m", "capture.verify", self.job.dumps(), str(returned)],
            capture_output=True,
            check=False,
            text=True,
            timeout=600,
            cwd=self.job.folder,
            env=worker_environment(),
        )
        for line in done.stdout.splitlines():
            if line.startswith("VERIFY "):
                found: dict[str, Any] = json.loads(line[7:])
                return found
        raise RuntimeError(f"reading back the store of {self.job.peer} failed: {done.stderr[-1500:]}")

    def warnings(self) -> dict[str, Any]:
        """How many lines the libraries logged about losing something, and the first of them."""
        logs = [self.job.path / name for name in ("worker.err", "worker.log")]
        text = "".join(log.read_text(errors="replace") for log in logs if log.exists())
        lines = [line for line in text.splitlines() if LOSS_WORDS.search(line)]
        return {"warnings": len(lines), "first_warning": lines[0][:240] if lines else None}


def thin(curve: Curve, points: int) -> Curve:
    """At most about ``points`` of the samples, the highest memory and the last among them."""
    if len(curve) <= points:
        return curve
    kept = set(range(0, len(curve), -(-len(curve) // points))) | {len(curve) - 1}
    kept.add(max(range(len(curve)), key=lambda i: curve[i][1]))
    return [curve[i] for i in sorted(kept)]
