"""Every retriever run of the process, through LangChain's own hook for callback handlers.

One handler is registered once per process with ``register_configure_hook``, as the default of a context
variable: LangChain then adds it to every run in every thread and task, and nothing of LangChain is
replaced. The handler runs inline, in the thread or task of the retriever itself.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook
from typing_extensions import override

from ragwheel_langchain.calls import Labels, announced, enclosing, started
from ragwheel_langchain.runs import OPEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from langchain_core.documents import Document

__all__ = ["HANDLER", "CaptureHandler", "instrument", "uninstrument"]


class CaptureHandler(BaseCallbackHandler):
    """Records retriever runs while ``active``; inert otherwise (LangChain has no way to unregister)."""

    run_inline = True
    raise_error = True  # of ours nothing is raised; LangChain would swallow what a signal handler raises here

    def __init__(self) -> None:
        self.active = False

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
        return not (self.active or OPEN)

    @property
    @override
    def ignore_agent(self) -> bool:  # also decides about tools
        return not (self.active or OPEN)

    @property
    @override
    def ignore_llm(self) -> bool:
        return True

    @property
    @override
    def ignore_chat_model(self) -> bool:
        return True

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

    @override
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        retrieval = OPEN.close(run_id)
        if retrieval is not None:
            retrieval.fail(error)

    def _enter(self, run_id: UUID, parent_run_id: UUID | None) -> None:
        """A chain or tool run: kept only inside a retriever."""
        retrieval = OPEN.find(parent_run_id)
        if retrieval is not None:
            OPEN.add(run_id, retrieval)

    @override
    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        self._enter(run_id, parent_run_id)

    @override
    def on_chain_end(self, outputs: dict[str, Any], *, run_id: UUID, **kwargs: Any) -> None:
        OPEN.close(run_id)

    @override
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        OPEN.close(run_id)

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

    @override
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        OPEN.close(run_id)


HANDLER = CaptureHandler()
_hook: ContextVar[CaptureHandler | None] | None = None
_registering = threading.Lock()


def instrument() -> None:
    """Record every LangChain retriever run of this process from now on; calling it again changes nothing.

    The source of a retrieval is the retriever's name (its ``run_name`` or class); its ``metadata`` may
    say ``ragwheel_source`` and ``ragwheel_version``. A retriever that runs inside another one is
    recorded under it. A retriever that LangChain does not run (``vectorstore.similarity_search``) is a
    plain function: decorate it with :func:`ragwheel.retriever`.
    """
    global _hook
    with _registering:
        if _hook is None:
            _hook = ContextVar("ragwheel_langchain", default=HANDLER)
            register_configure_hook(_hook, inheritable=True)
        HANDLER.active = True


def uninstrument() -> None:
    """Record no further runs; runs under way are recorded to their end. Safe to call at any time."""
    HANDLER.active = False


def _class_name(serialized: dict[str, Any] | None) -> str:
    """The class in LangChain's serialized form, which versions before the name argument gave."""
    path = (serialized or {}).get("id")
    return str(path[-1]) if path else "retriever"


def _labels(metadata: dict[str, Any]) -> Labels:
    """What the app said in the retriever's metadata; only strings and numbers are made into text here."""
    source, version = metadata.get("ragwheel_source"), metadata.get("ragwheel_version")
    return Labels(
        source=source if isinstance(source, str) else None,
        version=str(version) if type(version) in (str, int, float) else None,
    )
