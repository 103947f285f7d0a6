"""One recorded call of a decorated function: with which arguments, what of its result the app gets.

The wrappers of functions, coroutine functions, generators and async generators differ only in how they
call; what they do with the outcome is here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType, TracebackType
from typing import Any, Final

from ragwheel import runtime
from ragwheel.capture import overfetch
from ragwheel.capture.context import enclosing_spans
from ragwheel.capture.items import Items
from ragwheel.capture.learned import Learned
from ragwheel.capture.parameters import CallParameters
from ragwheel.capture.recorder import RERANK, Retrieval
from ragwheel.errors import OverfetchRefused
from ragwheel.guard import guard, is_interrupt, let_interrupts_through

__all__ = ["RetrieverCall", "Spec"]

_STARTING: Final = guard("starting a retrieval")
_SHARING: Final = guard("sharing attributes with a decorated function")
_COMPARING: Final = guard("comparing an over-fetched result")


@dataclass(frozen=True)
class Spec:
    """What a decorator was told and found out about its function.

    ``query`` and ``k`` are names of parameters. ``source`` None: that of the chunks that are re-ranked.
    ``rebuilt`` is the function and its arguments that make the same again, for pickling.
    """

    rebuilt: tuple[Callable[..., Spec], tuple[Any, ...]]
    parameters: CallParameters
    name: str
    source: str | None
    version: str
    kind: int
    query: str
    query_position: int | None
    k: str | None
    capture_k: int | None
    adapter: Callable[[Any], Any] | None
    learned: Learned
    shared: dict[str, Any] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[Callable[..., Spec], tuple[Any, ...]]:
        return self.rebuilt

    def share_attributes(self, fn: Any, outer: dict[str, Any]) -> None:
        """Give what wraps ``fn`` its attributes that changed (``f.statistics``), and the reverse."""
        if type(fn) is FunctionType and fn.__dict__:
            with _SHARING:
                self._share(fn.__dict__, outer)

    def _share(self, inner: dict[str, Any], outer: dict[str, Any]) -> None:
        shared = self.shared
        for name in list(inner):
            value = inner.get(name)
            if name == "__wrapped__":
                continue
            if name not in shared or shared[name] is not value:
                outer[name] = shared[name] = value
            elif outer.get(name) is not value and name in outer:
                inner[name] = shared[name] = outer[name]

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> RetrieverCall | None:
        """Start recording a call; None: nothing is recorded. Never raises."""
        rt = runtime.active()
        if rt is None:
            return None
        with _STARTING:
            query = kwargs[self.query] if self.query in kwargs else self._query_of(args)
            retrieval = Retrieval(rt, query, self.name, self.source, self.version, self.kind)
            retrieval.place(*enclosing_spans())
            if self.capture_k is not None:
                retrieval.capture_k = min(self.capture_k, retrieval.capture_k)
            call = RetrieverCall(retrieval, self, args, kwargs)
            if self.k is not None and retrieval.sampled:
                call.plan(overfetch.plan(self.parameters, self.k, args, kwargs, retrieval.capture_k))
            return call
        return None

    def _query_of(self, args: tuple[Any, ...]) -> object:
        position = self.query_position
        if position is not None and position < len(args):
            return args[position]
        return self.parameters.defaults.get(self.query)


class RetrieverCall:
    """Call with ``args`` and ``kwargs``, tell :meth:`returned` or :meth:`raised`, and again if they say so.

    Attributes:
        args, kwargs: what to call the function with.
        k: how many chunks the app gets while the function is asked for more; None: all.
        given: what the app gets, after ``returned`` said True or once the call has ``ended``.
        ended: the app has its result although the last call raised: that was a check.
        check: the larger call that is to follow the app's own and be compared with it.
    """

    __slots__ = (
        "_as_returned",
        "_own",
        "_spec",
        "args",
        "check",
        "ended",
        "given",
        "k",
        "kwargs",
        "retrieval",
    )

    def __init__(
        self,
        retrieval: Retrieval,
        spec: Spec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.retrieval = retrieval
        self.args = args
        self.kwargs = kwargs
        self.k: int | None = None
        self.given: Any = None
        self.ended = False
        self.check: overfetch.OverfetchPlan | None = None
        self._as_returned: Callable[[], Any] | None = None  # set while the larger call of a check is made
        self._own = (args, kwargs)
        self._spec = spec

    def __enter__(self) -> None:
        self.retrieval.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.retrieval.done = True  # if a signal handler raised before it could be recorded
        self.retrieval.leave()

    def plan(self, plan: overfetch.OverfetchPlan) -> None:
        """Ask for more than the app does, or note why not."""
        self.retrieval.top_k = plan.k
        if plan.refused:
            self.retrieval.flag(f"overfetch_refused: {plan.refused}")
        learned = self._spec.learned.refusal if plan.asked is not None else None
        if learned is not None:
            self.retrieval.flag(learned)
        elif plan.asked is not None and self._spec.learned.checks:
            self.check = plan
        elif plan.asked is not None:
            self.args, self.kwargs, self.k = plan.args, plan.kwargs, plan.k

    def returned(self, result: Any) -> bool:
        """Record the result. False: call again.

        That is the app's own call after an over-fetched one that cannot be cut to k, or the larger call of a
        check after the app's own.
        """
        if self._as_returned is not None:
            self.given = self._as_returned()
            with _COMPARING:
                self.compare(self.given, result)
            return True
        with _COMPARING:
            if self.check is not None and self._can_be_cut(result):
                self._as_returned = overfetch.unchanged(result)
                self.args, self.kwargs = self.check.args, self.check.kwargs
                return False
        if self.k is None:
            self.given = result
            self.end(result)
            if self.check is None and self._spec.learned.refusal is not None:
                self._spec.learned.saw(result)
            return True
        try:
            self.given = overfetch.first_k(result, self.k)
        except OverfetchRefused as exc:
            return self._again(self._spec.learned.refuse(f"overfetch_refused: {exc}"))
        except Exception as exc:  # the host's own code, in a list of a type of its own
            let_interrupts_through(exc)
            return self._again(
                self._spec.learned.refuse("overfetch_refused: the retriever's list could not be cut to k")
            )
        self.end(result, self.k)
        return True

    def raised(self, error: BaseException) -> bool:
        """Record the error. False: it came of asking for more; make the app's own call unless ``ended``."""
        if self._as_returned is not None:
            self.given = self._as_returned()
            with _COMPARING:
                self.check_failed(self.given)
            self.ended = isinstance(error, Exception) and not is_interrupt(error)
            return not self.ended
        if self.k is not None and overfetch.may_be_about_k(error):
            return self._again(self._spec.learned.failed())
        self.retrieval.fail(error)
        return True

    def compare(self, own: Any, larger: Any, total: int | None = None) -> None:
        """Record a checked call: the larger result if it begins with the app's own, else the app's own."""
        learned, check = self._spec.learned, self.check
        k = check.k if check is not None else None
        try:
            same = overfetch.same_first_k(own, larger, k or 0, self._spec.adapter)
        except OverfetchRefused as exc:
            self.retrieval.flag(learned.refuse(f"overfetch_refused: {exc}"))
            same = None
        if same is False:
            self.retrieval.flag(learned.differed(self.retrieval.name))
        if not same:
            self.end(own, total=total)
            return
        learned.agreed()
        self.end(overfetch.extended(own, larger, k or 0), k)

    def check_failed(self, own: Any) -> None:
        """Record the app's own result: the larger call of a check raised."""
        self.retrieval.flag(self._spec.learned.failed())
        self.end(own)

    def _can_be_cut(self, own: Any) -> bool:
        """Whether a result of this kind can be cut to k; what cannot is never asked for more."""
        try:
            overfetch.first_k(own, 1)
        except OverfetchRefused as exc:
            self.retrieval.flag(self._spec.learned.refuse(f"overfetch_refused: {exc}"))
        except Exception as exc:  # the host's own code, in a list of a type of its own
            let_interrupts_through(exc)
            self.retrieval.flag(
                self._spec.learned.refuse("overfetch_refused: the retriever's list could not be cut to k")
            )
        else:
            return True
        return False

    def end(self, result: Any, n_returned: int | None = None, total: int | None = None) -> None:
        """Record the result, of whose ``total`` chunks the app gets the first ``n_returned`` (None: all)."""
        spec = self._spec
        lists = self._lists if spec.kind == RERANK else None
        self.retrieval.finish(result, returned=n_returned, total=total, adapter=spec.adapter, given=lists)

    def _lists(self) -> list[Any]:
        """The arguments that may be the list that a re-ranker was given."""
        named = {name: value for name, value in self.kwargs.items() if name != self._spec.query}
        values = [v for n, v in enumerate(self.args) if n != self._spec.query_position] + list(named.values())
        return [
            value for value in values if not isinstance(value, (str, bytes, int, float, bool, type(None)))
        ]

    def items(self) -> Items:
        """Begin to take in the items of a generator."""
        return Items(self)

    def _again(self, flag: str) -> bool:
        self.retrieval.flag(flag)
        self.k = None
        self.args, self.kwargs = self._own
        return False
