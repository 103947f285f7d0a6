"""The process that merges for an app: asked again and again, it merges for a moment each time and answers.

It ends when the app's end of the socket is closed, when nothing was asked of it for a minute, and when it
cannot use the database: the app, which may have other limits and permissions by then, tries for itself and
says why.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import select
import socket
import time
from pathlib import Path
from typing import Any, Final

from ragwheel._version import __version__
from ragwheel.errors import StoreError
from ragwheel.guard import logger
from ragwheel.store.merge import Merger

__all__ = ["serve"]

SLICE_S: Final = 0.25  # an answer takes about so long at most
IDLE_S: Final = 60.0


class _MergeWarnings(logging.Handler):
    """Warnings, which the app is to log where it logs its own."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def serve(db: str, busy_s: float) -> None:
    """Answer on the socket that is descriptor 0, until its other end is closed."""
    channel = socket.socket(fileno=0)
    warnings = _MergeWarnings()
    logger.addHandler(warnings)
    logger.propagate = False
    ends_s = 0.0
    merger = Merger(Path(db), may_continue=lambda: time.monotonic() < ends_s, quarantine=True, busy_s=busy_s)
    answer: dict[str, Any] = {"version": __version__, "pid": os.getpid()}
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while True:
        answer["warnings"], warnings.messages = warnings.messages, []
        channel.sendall(json.dumps(answer).encode() + b"\n")
        if not poll.poll(IDLE_S * 1000) or not channel.recv(1):
            return
        ends_s = time.monotonic() + SLICE_S
        try:
            answer = dataclasses.asdict(merger.run(timeout_s=0.0))
        except StoreError:
            return
