"""Whose turn is it: where the block of a turn is in force, also when it is held by a generator.

A context variable is right for functions and coroutines. It is wrong for a generator that holds a turn across
its ``yield`` (the usual way to stream an answer): a generator runs in its caller's context, so between two
steps the caller, and everybody else's generator in that thread, would find the variable set; and a server
that runs every step in a fresh context would find it unset. Python has no hook at ``yield`` (PEP 568 was
never accepted), so the rule is:

* A turn that a generator holds is in force for code that runs *under* that generator: the generator's
  frame is on the stack. This is exact, in whatever thread, task or context the step is made.
* Where the frame is not on the stack, the variable is believed if this context is a copy of the one that
  the turn was entered in (a task or thread that the generator started) and the generator is in the middle
  of a step, waiting for it. A context that was believed once is believed for as long as the turn is open.
* In the very context that the turn was entered in, without the frame: between two steps. Not in force.

Turns that no generator holds follow the variable alone, and while no generator holds a turn in this process
the stack is not looked at.
"""

from __future__ import annotations

import dis
import functools
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR, CO_ITERABLE_COROUTINE
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ragwheel.capture.turn import Turn

__all__ = ["Scope", "enter", "in_force", "leave", "the_scope", "to_leave"]

_GENERATORS: Final = CO_GENERATOR | CO_ASYNC_GENERATOR
_COROUTINES: Final = CO_COROUTINE | CO_ITERABLE_COROUTINE
_AWAITING: Final = CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR
_ENTERING: Final = frozenset({"__enter__", "__aenter__", "enter_context", "enter_async_context"})
"""Functions that enter a block for their caller, by their names in the protocol of context managers."""
_HELPERS: Final = 8
"""So many functions may be between a generator and the block that they enter for it."""


class Scope:
    """One entry into the block of a turn; what the context variable holds.

    It refers to the turn weakly: contexts are copied and kept by tasks and threads, a turn lives as long as
    its block or the app needs it.

    Attributes:
        enclosing: the scope that was in force when this one was entered.
        frame_id: ``id`` of the frame of the generator that holds the block; 0: no generator does.
        open: whether the block has not been left.
    """

    __slots__ = ("__weakref__", "_of", "enclosing", "frame_id", "open", "token", "turn")

    def __init__(self, turn: Turn, enclosing: Scope | None, frame_id: int, of: Scope | None = None) -> None:
        self.turn: Callable[[], Turn | None] = weakref.ref(turn)
        self.enclosing = enclosing
        self.frame_id = frame_id
        self.open = True
        self.token: Token[Scope | None] | None = None
        self._of = of

    @property
    def current(self) -> Turn | None:
        """The turn, while the block is open."""
        if self.open and (self._of is None or self._of.open):
            return self.turn()
        return None


the_scope: ContextVar[Scope | None] = ContextVar("ragwheel_turn", default=None)

_held: dict[int, list[Scope]] = {}
"""Open scopes that generators hold, by the id of the generator's frame, the innermost last."""


def in_force() -> Turn | None:
    """Return the turn that the calling code is part of, or None."""
    scope = the_scope.get()
    if not _held:
        while scope is not None:
            if (turn := scope.current) is not None:
                return turn
            scope = scope.enclosing
        return None
    scope = _scope_in_force(scope, sys._getframe(1))
    return None if scope is None else scope.current


def enter(turn: Turn, caller: FrameType) -> tuple[Scope, FrameType | None]:
    """Enter the block of ``turn`` for ``caller``, the frame that called us.

    Returns:
        The scope, and the frame of the generator that holds the block. Whoever owns the turn keeps both; a
        frame must not be kept alive by anything else.
    """
    frame = _holder(caller)
    before = the_scope.get()
    enclosing = before if not _held else _scope_in_force(before, caller)
    while enclosing is not None and enclosing.current is None:
        enclosing = enclosing.enclosing
    scope = Scope(turn, enclosing, 0 if frame is None else id(frame))
    if frame is not None:
        _held.setdefault(id(frame), []).append(scope)
        scope.turn = weakref.ref(turn, functools.partial(_forget, id(frame), scope))
    token = the_scope.set(scope)
    if frame is not None:
        scope.token = token
    return scope, frame


def leave(scope: Scope) -> None:
    """Leave the block, in whatever context that happens."""
    scope.open = False
    if scope.frame_id:
        _forget(scope.frame_id, scope)
        scope.token = None
    if the_scope.get() is scope:
        the_scope.set(scope.enclosing)


def to_leave(opened: list[Scope], holders: dict[Scope, FrameType], caller: FrameType | None) -> Scope:
    """Return which of a turn's open scopes ``caller`` leaves: it may be open in several threads at once."""
    if len(opened) > 1:
        here = the_scope.get()
        for scope in reversed(opened):
            holder = holders.get(scope)
            if (scope is here and holder is None) or (holder is not None and _below(caller, holder)):
                return scope
    return opened[-1]


def _forget(frame_id: int, scope: Scope, _turn: object = None) -> None:
    scopes = _held.get(frame_id)
    if scopes is not None and scope in scopes:
        scopes.remove(scope)
        if not scopes:
            _held.pop(frame_id, None)


def _holder(frame: FrameType | None) -> FrameType | None:
    """Return the generator's frame that holds a block entered by ``frame``; None: no generator does.

    Functions and coroutines that enter a block for their caller are looked through, and so is the generator
    inside ``contextlib.contextmanager``.
    """
    for _ in range(_HELPERS):
        if frame is None:
            return None
        flags, back = frame.f_code.co_flags, frame.f_back
        if flags & _GENERATORS and not flags & CO_ITERABLE_COROUTINE:
            if back is None or back.f_code.co_name not in _ENTERING:
                return frame
        elif flags & _COROUTINES and not (back is not None and back.f_code.co_flags & _AWAITING):
            return None
        frame = back
    return None


def _scope_in_force(scope: Scope | None, frame: FrameType) -> Scope | None:
    """Decide between the context variable's ``scope`` and the generators that ``frame`` runs under."""
    owner = _owner(frame)
    while scope is not None:
        if scope.current is not None and (scope is owner or not scope.frame_id or _believed(scope, frame)):
            inner: Scope | None = scope
            while owner is not None and inner is not None and inner is not owner:
                inner = inner.enclosing
            return scope if owner is None or inner is owner else owner
        scope = scope.enclosing
    return owner


def _owner(frame: FrameType | None) -> Scope | None:
    """Return the innermost scope of the nearest generator on the stack, up to where the task begins."""
    while frame is not None:
        if id(frame) in _held and (scope := _innermost(frame)) is not None:
            return scope
        back = frame.f_back
        if frame.f_code.co_flags & _AWAITING and not (back is not None and back.f_code.co_flags & _AWAITING):
            return None
        frame = back
    return None


def _innermost(frame: FrameType) -> Scope | None:
    for scope in reversed(_held.get(id(frame), ())):
        turn = scope.current
        if turn is not None and turn.holder(scope) is frame:
            return scope
    return None


def _believed(scope: Scope, frame: FrameType) -> bool:
    """Return whether a generator's scope that is not found on the stack is in force in this context."""
    turn = scope.current
    holder = None if turn is None else turn.holder(scope)
    if turn is None or holder is None:
        return False
    if _set_here(scope):
        return _below(frame, holder)
    if not _in_step(holder):
        return False
    the_scope.set(Scope(turn, scope.enclosing, 0, of=scope))
    return True


def _set_here(scope: Scope) -> bool:
    """Return whether this is the context that the scope was entered in: only there its token can be used."""
    while True:
        token = scope.token
        if token is None:
            return False
        try:
            the_scope.reset(token)
        except ValueError:
            return False
        except RuntimeError:  # used in this moment by another thread
            continue
        scope.token = the_scope.set(scope)
        return True


def _below(frame: FrameType | None, holder: FrameType) -> bool:
    while frame is not None and frame is not holder:
        frame = frame.f_back
    return frame is not None


def _in_step(frame: FrameType) -> bool:
    """Return whether a generator is running, in any thread, or waits inside of a step (``await``)."""
    if frame.f_back is not None:
        return True
    code = frame.f_code
    return bool(code.co_flags & CO_ASYNC_GENERATOR) and frame.f_lasti in _awaits(code)


@functools.lru_cache(maxsize=256)
def _awaits(code: CodeType) -> frozenset[int]:
    """Where in its code an async generator is suspended while it awaits something."""
    if sys.version_info < (3, 11):
        return frozenset(at - 2 for at, name, _ in _instructions(code) if name == "YIELD_FROM")
    awaited = [at for at, name, oparg in _instructions(code) if name == "RESUME" and oparg & 3 == 3]
    return frozenset(at - back for at in awaited for back in (0, 2))  # 3.13 is at the RESUME, others before


def _instructions(code: CodeType) -> list[tuple[int, str, int]]:
    raw: Any = code.co_code
    return [(at, dis.opname[raw[at]], raw[at + 1]) for at in range(0, len(raw), 2)]
