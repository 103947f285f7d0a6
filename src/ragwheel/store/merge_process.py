"""The app's end of a process that merges: it is started, asked to merge for a moment, and ended.

The process is a Python of its own, so that the app's interpreter does no work for the merge. A socket
connects the two. When the app ends, however that happens, its end of the socket is closed, and the process
ends after the slice that it is merging. It is not a child of the app (``os.wait`` does not return it), the
terminal's Ctrl-C does not reach it, and it may be killed at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ragwheel._version import __version__
from ragwheel.guard import guard
from ragwheel.store.merge import MergeReport

__all__ = ["MergeProcess", "MergeProcessGone"]

STEP_S: Final = 0.01  # between two looks at whether the caller still wants to wait
END_S: Final = 1.0
_BOOT: Final = (
    "import os, sys; os.fork() and os._exit(0)\n"
    "import json; sys.path[:] = json.loads(sys.argv[1])\n"
    "from ragwheel.store.merge_slices import serve; serve(sys.argv[2], float(sys.argv[3]))"
)
"""The process that subprocess starts only starts the one that stays, and is waited for at once."""


class MergeProcessGone(Exception):
    """The process has ended, or could not be used: merge in this one."""


class MergeProcess:
    """A process that merges into one database.

    Args:
        db: the database.
        busy_s: how long it waits for a lock that something other than ragwheel holds.

    Raises:
        MergeProcessGone: none can be started here.
    """

    def __init__(self, db: Path, *, busy_s: float) -> None:
        self.answered = False
        self._pid = 0
        self._user = os.geteuid()
        self._awaited = True  # an answer is to come; the first says that it is ready
        self._received = b""
        if getattr(sys, "frozen", False) or not _is_python(sys.executable):
            raise MergeProcessGone("this program is not run by a Python interpreter that could be started")
        self._channel, theirs = socket.socketpair()
        try:
            _start([sys.executable, "-c", _BOOT, json.dumps(sys.path), str(db), str(busy_s)], theirs)
        except BaseException as exc:
            self._channel.close()
            if isinstance(exc, OSError):
                raise MergeProcessGone(f"no process could be started: {exc}") from exc
            raise
        finally:
            theirs.close()

    def ready(self) -> bool:
        """Whether it has started and can be asked; never waits.

        Raises:
            MergeProcessGone: it has ended, or is of another version.
        """
        if not self._pid and (answer := self._answer(0.0)) is not None:
            if answer.get("version") != __version__:
                raise self._gone(f"another ragwheel answered: {answer.get('version')!r}")
            self._pid = int(answer["pid"])
            self.answered = True
        return bool(self._pid)

    def run(self, may_continue: Callable[[], bool], *, timeout_s: float) -> MergeReport:
        """Have it merge what there is.

        Args:
            may_continue: asked again and again; returns False to stop waiting, and have it stop soon.
            timeout_s: how long another process may keep the right to merge.

        Returns:
            ``complete`` is False when it stopped early or another process merges.

        Raises:
            MergeProcessGone: it has ended.
        """
        if os.geteuid() != self._user:
            raise self._gone("the app runs as another user now")
        deadline = time.monotonic() + timeout_s
        while True:
            if not self._awaited:
                self._ask()
            answer = self._answer(STEP_S)
            go_on = may_continue()
            if answer is None:
                if not go_on:
                    return MergeReport(complete=False)
                continue
            report = MergeReport(**{**answer, "failed": tuple(answer["failed"])})
            if report.complete or not go_on:
                return report
            if not report.records:
                if time.monotonic() >= deadline:
                    return report
                time.sleep(STEP_S)

    def close(self) -> None:
        """End it, and wait until it has ended: it may be at a slice."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + END_S
        with contextlib.suppress(MergeProcessGone):
            while self._pid and (left_s := deadline - time.monotonic()) > 0:
                self._answer(left_s)
            if self._pid:
                self._gone("it did not end in time")
        self._channel.close()

    def forget(self) -> None:
        """Close this end alone: in a forked child the process is its parent's."""
        self._channel.close()

    def _ask(self) -> None:
        try:
            self._channel.send(b"m", socket.MSG_NOSIGNAL if hasattr(socket, "MSG_NOSIGNAL") else 0)
        except OSError as exc:
            raise self._gone(str(exc)) from exc
        self._awaited = True

    def _answer(self, timeout_s: float) -> dict[str, Any] | None:
        """The next answer, or None when there is none in time."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return None
        try:
            received = self._channel.recv(65536)
        except OSError as exc:
            raise self._gone(str(exc)) from exc
        if not received:
            self._pid = 0
            raise self._gone("it has ended")
        self._received += received
        line, end, rest = self._received.partition(b"\n")
        if not end:
            return None
        self._received, self._awaited = rest, False
        answer: dict[str, Any] = json.loads(line)
        for message in answer.pop("warnings", ()):
            guard.warn_once(f"merge process: {message}", message)
        return answer

    def _gone(self, why: str) -> MergeProcessGone:
        """Make sure that it is gone."""
        self._channel.close()
        if self._pid:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
        self._pid = 0
        return MergeProcessGone(why)


def _is_python(executable: str | None) -> bool:
    return bool(executable) and Path(str(executable)).name.startswith(("python", "pypy"))


def _start(command: list[str], channel: socket.socket) -> None:
    import subprocess

    started = subprocess.Popen(  # noqa: S603 - our own interpreter and code
        command,
        stdin=channel.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    started.wait()
