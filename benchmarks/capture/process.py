"""The driver's end of a worker process."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from typing import Any

from capture.job import Job
from capture.measurements import Phase
from capture.peers import load
from capture.places import python_of, worker_environment

__all__ = ["Process", "WorkerFailed"]


class WorkerFailed(RuntimeError):
    """A worker ended without an answer, or was killed at its time bound."""


class Process:
    """A worker, killed after ``timeout_s`` whatever happens."""

    def __init__(self, job: Job, *, timeout_s: float) -> None:
        self.job, self.timeout_s = job, timeout_s
        command = [str(python_of(load(job.peer).venv)), "-m", "capture.worker", job.dumps()]
        with (job.path / "worker.err").open("wb") as err:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                cwd=job.folder,
                env=worker_environment(),
            )
        self._killer = threading.Timer(timeout_s, self.popen.kill)
        self._killer.start()

    def wait_for(self, word: str) -> str:
        """The rest of the next line that begins with ``word``; raises WorkerFailed when there is none."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if line.startswith(word):
                return line[len(word) :].strip()
        code = self.popen.wait()
        said = (self.job.path / "worker.err").read_text(errors="replace")[-1500:]
        raise WorkerFailed(f"worker ended with {code} before {word} (bound {self.timeout_s:.0f} s): {said}")

    def _say(self, line: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def start(self, phase: Phase) -> None:
        """Have it make the calls of ``phase``; ``wait_for("RAN")`` follows."""
        self._say(f"run {phase.name} {phase.calls} {phase.rate_hz}")

    def run(self, phase: Phase) -> None:
        """Have it make the calls of ``phase`` and wait."""
        self.start(phase)
        self.wait_for("RAN")

    def end(self) -> dict[str, Any]:
        """Have it flush and end; its result."""
        self._say("end")
        result: dict[str, Any] = json.loads(self.wait_for("RESULT"))
        self.popen.wait()
        return result

    def kill(self) -> None:
        """SIGKILL."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def close(self) -> None:
        """Make sure that it has ended."""
        self._killer.cancel()
        if self.popen.poll() is None:
            self.kill()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()
