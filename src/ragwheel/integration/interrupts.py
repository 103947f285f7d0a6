"""Interrupts of the app that a framework would swallow, raised again once it no longer can."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from ragwheel.guard import is_interrupt

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["raise_after"]

_LATEST_S: Final = 5.0


def raise_after(error: BaseException, swallowing: Collection[str]) -> None:
    """Raise an interrupt of the app again in this thread, as soon as the framework no longer swallows it.

    This is for frameworks that swallow every exception of their handlers. A ``KeyboardInterrupt`` or a task
    queue's time limit that is raised while a handler of ours runs belongs to the app. Other errors are
    ignored.

    Args:
        error: the exception that the handler is about to raise.
        swallowing: names of the framework's functions that swallow it.
    """
    if is_interrupt(error):
        target = (threading.get_ident(), type(error), frozenset(swallowing))
        threading.Thread(target=_interrupt_later, args=target, daemon=True).start()


def _interrupt_later(thread_id: int, kind: type[BaseException], swallowing: frozenset[str]) -> None:
    deadline_s = time.monotonic() + _LATEST_S
    while time.monotonic() < deadline_s:
        frame = sys._current_frames().get(thread_id)
        while frame is not None and frame.f_code.co_name not in swallowing:
            frame = frame.f_back
        if frame is None:
            break
        time.sleep(0.001)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(kind))
