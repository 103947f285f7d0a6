"""Retrievers, re-rankers and engines, by the span handler that LlamaIndex's instrumentation dispatcher calls.

LlamaIndex opens a span around each ``retrieve``, ``query``, ``chat`` and post-processor, in the thread or
task and the context of the call itself. The span's exit has the very object that the caller gets, and its
drop the exception; events have copies of the one and nothing of the other.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine.types import BaseChatEngine, StreamingAgentChatResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import QueryBundle

import ragwheel
from ragwheel.integration import Engine, OpenCalls, guard, raise_after
from ragwheel_llamaindex.answers import EngineCall, call_of_context

if TYPE_CHECKING:
    import inspect

__all__ = ["RECORDED", "instrument", "uninstrument"]

RECORDED: Final = "_ragwheel_recorded"
"""Attribute of retrievers and post-processors that record themselves."""
_REWRITING: Final = frozenset(
    {"MetadataReplacementPostProcessor", "PrevNextNodePostprocessor", "AutoPrevNextNodePostprocessor"}
    | {"SentenceEmbeddingOptimizer", "PIINodePostprocessor", "NERPIINodePostprocessor"}
)
"""Post-processors that change texts or add nodes: no re-ranking of what was retrieved."""
_SWALLOWING: Final = frozenset({"span_enter", "span_exit", "span_drop"})
_HANDLING: Final = guard("recording a LlamaIndex call")
_METHODS: Final = {
    "retrieve": (BaseRetriever, "retrieval"),
    "aretrieve": (BaseRetriever, "retrieval"),
    "_postprocess_nodes": (BaseNodePostprocessor, "rerank"),
    "_apostprocess_nodes": (BaseNodePostprocessor, "rerank"),
    "query": (BaseQueryEngine, "engine"),
    "aquery": (BaseQueryEngine, "engine"),
    "chat": (BaseChatEngine, "engine"),
    "achat": (BaseChatEngine, "engine"),
    "stream_chat": (BaseChatEngine, "engine"),
    "astream_chat": (BaseChatEngine, "engine"),
    "write_response_to_history": (StreamingAgentChatResponse, "stream"),
    "awrite_response_to_history": (StreamingAgentChatResponse, "stream"),
}


@dataclass(slots=True)
class OpenSpan:
    """A span of LlamaIndex that is recorded: its object, and what stands for it."""

    instance: object
    retrieval: Any = None
    call: EngineCall | None = None
    before: EngineCall | None = None
    is_nested: bool = False


SPANS: Final = OpenCalls[OpenSpan]()


def _shielded(handle: Callable[..., None]) -> Callable[..., None]:
    """Guard a handler. LlamaIndex swallows what it raises, and what the app's signal handlers raise in it."""
    guarded = _HANDLING(handle)

    @functools.wraps(handle)
    def shielded(*args: Any, **kwargs: Any) -> None:
        try:
            guarded(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised once LlamaIndex's code goes on
            raise_after(error, _SWALLOWING)

    return shielded


class CaptureSpans(BaseSpanHandler[BaseSpan]):
    """Records spans while ``instrument()`` is in force; what is under way is recorded to its end."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex knows it by."""
        return "RagwheelSpans"

    @_shielded
    def span_enter(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a retrieval, a re-ranking or a turn."""
        owner, kind = _METHODS.get(_method(id_), (type(None), ""))
        if not _state.active or instance is None or not isinstance(instance, owner):
            return
        parent = SPANS.get(parent_id)
        if parent is not None and parent.instance is instance and kind != "engine":
            return  # a method that calls the one it overrides
        arguments = [*bound_args.arguments.values()]
        if kind == "engine":
            span = _begin_engine(instance, arguments, tags or {})
        elif kind == "stream":
            span = OpenSpan(instance, call=call_of_context.get())
        else:
            span = _begin_retrieval(instance, arguments, kind, tags or {})
        if span is not None:
            SPANS.add(id_, span)

    @_shielded
    def span_exit(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> None:
        """Record what the caller gets."""
        span = SPANS.close(id_)
        if span is None:
            return
        if span.retrieval is not None:
            span.retrieval.finish(result)
            call = call_of_context.get()
            if call is not None and isinstance(result, list) and not span.is_nested:
                call.nodes.extend(result)
        elif isinstance(instance, StreamingAgentChatResponse):
            if span.call is not None and isinstance(instance.response, str):
                span.call.streamed(instance.response, instance.source_nodes)
        elif span.call is not None:
            _leave(span)
            span.call.end(result)
        _detach_if_idle()

    @_shielded
    def span_drop(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        """Record the exception."""
        span = SPANS.close(id_)
        error = err or RuntimeError("dropped")
        if span is not None and span.retrieval is not None:
            span.retrieval.fail(error)
        elif (
            span is not None
            and span.call is not None
            and not isinstance(instance, StreamingAgentChatResponse)
        ):
            _leave(span)
            span.call.fail(error)
        _detach_if_idle()

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        """Keep no span of LlamaIndex's kind."""

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        """Keep no span of LlamaIndex's kind."""

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        """Keep no span of LlamaIndex's kind."""


class _State:
    """Whether spans are recorded, and the handler that records them."""

    def __init__(self) -> None:
        self.active = False
        self.lock = threading.Lock()
        self.spans = CaptureSpans()


_state: Final = _State()


def instrument() -> None:
    """Record every retriever, re-ranker, query engine and chat engine from now on; again changes nothing.

    The source of a retrieval is the retriever's class; ``instrument_tags({"ragwheel_source": …})`` and
    :func:`ragwheel_llamaindex.wrap_retriever` name it otherwise. Of the tags, ``session_id`` and ``user_id``
    go into the turns of engines.
    """
    root = get_dispatcher()
    with _state.lock:
        _state.active = True
        if not any(handler is _state.spans for handler in root.span_handlers):
            root.add_span_handler(_state.spans)


def uninstrument() -> None:
    """Record no further calls; those under way are recorded to their end. Safe to call at any time."""
    _state.active = False
    _detach_if_idle()


def _detach_if_idle() -> None:
    """Take our handler off the dispatcher once it is not wanted and nothing is under way."""
    if _state.active or len(SPANS):
        return
    root = get_dispatcher()
    with _state.lock:
        root.span_handlers[:] = [h for h in root.span_handlers if h is not _state.spans]


def _begin_retrieval(instance: Any, arguments: list[Any], kind: str, tags: dict[str, Any]) -> OpenSpan | None:
    if _records_itself(instance) or (kind == "rerank" and type(instance).__name__ in _REWRITING):
        return None
    rerank = kind == "rerank"
    name = type(instance).__name__
    query = arguments[1:2] if rerank else arguments[:1]
    source = tags.get("ragwheel_source")
    version = tags.get("ragwheel_version")
    retrieval = ragwheel.start_retrieval(
        query[0] if query else None,
        source="" if rerank else source if isinstance(source, str) else name,
        name=name,
        version=str(version) if type(version) in (str, int, float) else None,
        top_k=_top_k(instance),
        kind=kind,
    )
    retrieval.enter()
    is_nested = isinstance(retrieval, ragwheel.Retrieval) and retrieval.outer is not None
    return OpenSpan(instance, retrieval=retrieval, is_nested=is_nested)


def _begin_engine(instance: object, arguments: list[Any], tags: dict[str, Any]) -> OpenSpan | None:
    query = arguments[0] if arguments else None
    engine = Engine.begin(
        query.query_str if isinstance(query, QueryBundle) else query,
        session_id=tags.get("session_id"),
        user_id=tags.get("user_id"),
    )
    if engine is None:
        return None
    call = EngineCall(engine)
    span = OpenSpan(instance, call=call, before=call_of_context.get())
    call_of_context.set(call)
    return span


def _records_itself(instance: Any) -> bool:
    return RECORDED in vars(instance) or getattr(type(instance), RECORDED, False) is True


def _leave(span: OpenSpan) -> None:
    if call_of_context.get() is span.call:
        call_of_context.set(span.before)


def _method(span_id: str) -> str:
    """Return the name of the method from ``VectorIndexRetriever.retrieve-<uuid>``."""
    return span_id.partition("-")[0].rpartition(".")[2]


def _top_k(instance: Any) -> int | None:
    for name in ("_similarity_top_k", "similarity_top_k", "top_n"):
        value = vars(instance).get(name)
        if type(value) is int:
            return value
    return None
