"""Capture of all retriever runs of the process, through LangChain's own hook for callback handlers.

One handler per process is registered with ``register_configure_hook``, as the default of a context variable.
LangChain then adds it to every run in every thread and task, and nothing of LangChain is patched. The handler
runs inline, in the thread or task of the retriever.
"""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook
from typing_extensions import override

from ragwheel.integration import guard
from ragwheel_langchain.calls import Labels, announced, enclosing, started
from ragwheel_langchain.chains import RUNS, ChainRun, begin_call, begin_run, end_run, message_text, run_of
from ragwheel_langchain.runs import OPEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage

__all__ = ["HANDLER", "CaptureHandler", "instrument", "uninstrument"]


_BEGINNING = guard("beginning to record a LangChain run")
_ENDING = guard("recording a LangChain run")
_PROMPTING = guard("reading a LangChain prompt")


class CaptureHandler(BaseCallbackHandler):
    """Records runs while ``active``; inert otherwise (LangChain has no way to unregister).

    Attributes:
        active: whether new runs are recorded.
        turns: whether the outermost run of a chain is recorded as a turn.
    """

    run_inline = True
    raise_error = True  # of ours nothing is raised; LangChain would swallow what a signal handler raises here

    def __init__(self) -> None:
        self.active = False
        self.turns = True

    def __reduce__(self) -> str:
        """One per process: a copied or pickled callback manager refers to the same handler."""
        return "HANDLER"

    @property
    @override
    def ignore_retriever(self) -> bool:
        return not (self.active or OPEN)

    @property
    @override
    def ignore_chain(self) -> bool:
        return not (self.active or OPEN or len(RUNS))

    @property
    @override
    def ignore_agent(self) -> bool:  # also decides about tools
        return not (self.active or OPEN or len(RUNS))

    @property
    @override
    def ignore_llm(self) -> bool:
        return not len(RUNS)

    @property
    @override
    def ignore_chat_model(self) -> bool:
        return not len(RUNS)

    @property
    @override
    def ignore_retry(self) -> bool:
        return True

    @property
    @override
    def ignore_custom_event(self) -> bool:
        return True

    @override
    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a retrieval: that of a wrapped retriever's call if this is its run."""
        if not self.active:
            return
        self._enter_turn(run_id, parent_run_id)
        outer = OPEN.find(parent_run_id) or enclosing()
        name = kwargs.get("name") or _class_name(serialized)
        call = announced(query)
        if call is not None:
            retrieval = call.begin(name, outer=outer, run_id=run_id)
        else:
            retrieval = started(query, name, _labels(metadata or {}), outer=outer)
            if retrieval is not None:
                retrieval.enter()
        if retrieval is not None:
            OPEN.add(run_id, retrieval)

    @override
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        retrieval = OPEN.close(run_id)
        if retrieval is not None:
            retrieval.finish(documents)
        self._end(run_id)

    @override
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        retrieval = OPEN.close(run_id)
        if retrieval is not None:
            retrieval.fail(error)
        self._end(run_id, error=error)

    def _enter(self, run_id: UUID, parent_run_id: UUID | None) -> None:
        """A chain or tool run: kept only inside a retriever, and inside a chain that is a turn."""
        retrieval = OPEN.find(parent_run_id)
        if retrieval is not None:
            OPEN.add(run_id, retrieval)
        self._enter_turn(run_id, parent_run_id)

    @_BEGINNING
    def _enter_turn(self, run_id: UUID, parent_run_id: UUID | None) -> None:
        run = run_of(parent_run_id)
        if run is not None:
            begin_run(run_id, ChainRun(run.call), sys._getframe(1))

    @_BEGINNING
    def _begin_turn(self, run_id: UUID, inputs: object, metadata: Mapping[str, Any] | None) -> None:
        if self.active and self.turns and run_of(None) is None:
            begin_call(run_id, inputs, metadata or {})

    @_ENDING
    def _end(self, run_id: UUID, inputs: object = None, outputs: object = None, error: Any = None) -> None:
        end_run(run_id, inputs, outputs, error)

    @_PROMPTING
    def _prompted(self, parent_run_id: UUID | None, texts: Sequence[str]) -> None:
        run = run_of(parent_run_id)
        if run is not None:
            run.call.note_prompt(texts)

    @override
    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._enter(run_id, parent_run_id)
        if parent_run_id is None:
            self._begin_turn(run_id, inputs, metadata)

    @override
    def on_chain_end(self, outputs: dict[str, Any], *, run_id: UUID, **kwargs: Any) -> None:
        OPEN.close(run_id)
        self._end(run_id, kwargs.get("inputs"), outputs)

    @override
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        OPEN.close(run_id)
        self._end(run_id, kwargs.get("inputs"), error=error)

    @override
    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        self._enter(run_id, parent_run_id)

    @override
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        OPEN.close(run_id)
        self._end(run_id)

    @override
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        OPEN.close(run_id)
        self._end(run_id, error=error)

    @override
    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        self._prompted(parent_run_id, prompts)

    @override
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        self._prompted(parent_run_id, [message_text(message) for batch in messages for message in batch])


HANDLER = CaptureHandler()
_hook: ContextVar[CaptureHandler | None] | None = None
_registering = threading.Lock()


def instrument(*, turns: bool = True) -> None:
    """Record every LangChain retriever run of this process from now on; calling it again changes nothing.

    A chain, graph or agent that retrieves and answers becomes a turn with question, answer, prompt and
    citations, unless a turn of the app's is open, which then gets the answer if the app gives it none.

    The source of a retrieval is the retriever's name (its ``run_name`` or class); its ``metadata`` may
    say ``ragwheel_source`` and ``ragwheel_version``. A retriever that runs inside another one is
    recorded under it. A retriever that LangChain does not run (``vectorstore.similarity_search``) is a
    plain function: decorate it with :func:`ragwheel.retriever`.

    Args:
        turns: False records retrievals only.
    """
    global _hook
    with _registering:
        if _hook is None:
            _hook = ContextVar("ragwheel_langchain", default=HANDLER)
            register_configure_hook(_hook, inheritable=True)
        HANDLER.turns = turns
        HANDLER.active = True


def uninstrument() -> None:
    """Record no further runs; runs under way are recorded to their end. Safe to call at any time."""
    HANDLER.active = False


def _class_name(serialized: dict[str, Any] | None) -> str:
    """Return the class in LangChain's serialized form, for versions without the argument ``name``."""
    path = (serialized or {}).get("id")
    return str(path[-1]) if path else "retriever"


def _labels(metadata: dict[str, Any]) -> Labels:
    """Return the labels in the retriever's metadata, of which only strings and numbers are read."""
    source, version = metadata.get("ragwheel_source"), metadata.get("ragwheel_version")
    return Labels(
        source=source if isinstance(source, str) else None,
        version=str(version) if type(version) in (str, int, float) else None,
    )
