"""What is LlamaIndex's own: fusion, engines that cut nodes up, chats, streams, over-fetch, deployment."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integrations.llamaindex.tests.parts import FixedModel, HookedEmbedding, handbook
from llama_index.core import QueryBundle
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.postprocessor import MetadataReplacementPostProcessor, SimilarityPostprocessor
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine, RouterQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool

import ragwheel
import ragwheel_llamaindex
from ragwheel.deploy import Adapter, Fusion
from ragwheel.store import open_store
from ragwheel.testing import CORPUS, QUESTION
from ragwheel_llamaindex import EmbeddingsAdapter, RagwheelFusionRetriever, RagwheelRerank, wrap_retriever

Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    """A configured and instrumented process; called with SQL, the rows that are in the store by then."""
    db = tmp_path / "ragwheel.db"
    ragwheel.configure(db=str(db))
    ragwheel_llamaindex.instrument()

    def read(sql: str) -> list[dict[str, Any]]:
        assert ragwheel.flush(timeout_s=30)
        connection = open_store(db)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql)]
        finally:
            connection.close()

    yield read
    ragwheel_llamaindex.uninstrument()
    assert "recording a LlamaIndex call" not in ragwheel.stats().errors


def retriever(k: int = 4) -> Any:
    return handbook().as_retriever(similarity_top_k=k)


@pytest.mark.parametrize("use_async", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_retrievers_inside_a_fusion_stay_logged(use_async: bool, asynchronous: bool, rows: Rows) -> None:
    fusion = QueryFusionRetriever(
        [retriever(3), retriever(5)], llm=FixedModel(text="How?\nWhy?"), similarity_top_k=4, num_queries=2,
        use_async=use_async, mode="reciprocal_rerank",
    )  # fmt: skip
    found = asyncio.run(fusion.aretrieve(QUESTION)) if asynchronous else fusion.retrieve(QUESTION)
    retrievals = rows("SELECT * FROM retrievals")
    [outer] = [row for row in retrievals if row["outer_id"] is None]
    assert (outer["retriever"], outer["n_chunks"]) == ("QueryFusionRetriever", len(found))
    inner = [row for row in retrievals if row["outer_id"] is not None]
    assert len(inner) >= 4
    assert {row["outer_id"] for row in inner} == {outer["retrieval_id"]}
    exposures = rows("SELECT retrieval_id, exposure, count(*) AS n FROM impressions GROUP BY 1, 2")
    assert {row["exposure"] for row in exposures if row["retrieval_id"] != outer["retrieval_id"]} == {
        "logged"
    }


def test_parts_that_a_citation_engine_cuts_are_the_retrieved_nodes(rows: Rows) -> None:
    """Each node is cut into several numbered sources; [n] is the node that the n-th part was cut from."""
    texts = {name: " ".join(f"Sentence {n} of {name} is about {name}." for n in range(30)) for name in "AB"}
    from llama_index.core import VectorStoreIndex

    index = VectorStoreIndex(
        [TextNode(id_=name, text=text) for name, text in texts.items()], embed_model=HookedEmbedding()
    )
    n_sources = len(CitationQueryEngine.from_args(
        index, llm=FixedModel(text=""), similarity_top_k=2, citation_chunk_size=64, citation_chunk_overlap=10
    ).query(QUESTION).source_nodes)  # fmt: skip
    assert n_sources > 4
    engine = CitationQueryEngine.from_args(
        index, llm=FixedModel(text=f"So [1], and so [{n_sources}]."), similarity_top_k=2,
        citation_chunk_size=64, citation_chunk_overlap=10,
    )  # fmt: skip
    engine.query(QUESTION)
    retrieval = rows("SELECT retrieval_id FROM retrievals ORDER BY start_ns DESC")[0]["retrieval_id"]
    ranked = rows(
        f"SELECT chunk_id, exposure FROM impressions WHERE retrieval_id = '{retrieval}' ORDER BY rank"
    )
    citations = rows("SELECT chunk_id, retrieval_id FROM citations ORDER BY position")
    assert [row["chunk_id"] for row in citations] == [row["chunk_id"] for row in ranked]
    assert {row["retrieval_id"] for row in citations} == {retrieval}
    assert {row["exposure"] for row in ranked} == {"prompted"}


CHATS = {
    "condense_plus_context": lambda model: CondensePlusContextChatEngine.from_defaults(
        retriever(), llm=model
    ),
    "context": lambda model: ContextChatEngine.from_defaults(retriever(), llm=model),
}


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
def test_a_chat_is_a_turn_in_each_of_its_ways(chat: str, way: str, rows: Rows) -> None:
    engine = CHATS[chat](FixedModel(text="As it says [2]."))

    async def ask() -> str:
        if way == "achat":
            return str(await engine.achat(QUESTION))
        response = await engine.astream_chat(QUESTION)
        text = "".join([piece async for piece in response.async_response_gen()])
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # what writes the history goes on
            await task
        return text

    with instrument_tags({"session_id": "s1", "user_id": "u1"}):
        if way.startswith("a"):
            text = asyncio.run(ask())
        elif way == "chat":
            text = str(engine.chat(QUESTION))
        else:
            response = engine.stream_chat(QUESTION)
            text = "".join(response.response_gen)
            thread = getattr(response, "write_response_to_history_thread", None)
            if thread is not None:
                thread.join(30)
    assert "[2]" in text
    [turn] = rows("SELECT * FROM turns")
    assert (turn["query"], turn["session_id"], turn["user_id"]) == (QUESTION, "s1", "u1")
    assert turn["answer"].strip() == text.strip()
    [retrieval] = rows("SELECT * FROM retrievals")
    assert retrieval["turn_id"] == turn["turn_id"]
    assert [(c["retrieval_id"], c["rank"]) for c in rows("SELECT * FROM citations")] == [
        (retrieval["retrieval_id"], 2)
    ]


def test_an_engine_inside_an_engine_is_part_of_its_turn(rows: Rows) -> None:
    inner = RetrieverQueryEngine.from_args(retriever(), llm=FixedModel(text="inside [1]"))
    tool = QueryEngineTool.from_defaults(inner, description="the handbook")
    engine = RouterQueryEngine(
        selector=LLMSingleSelector.from_defaults(FixedModel(text='[{"choice": 1, "reason": "only one"}]')),
        query_engine_tools=[tool], llm=FixedModel(text="-"),
    )  # fmt: skip
    engine.query(QUESTION)
    [turn] = rows("SELECT * FROM turns")
    [retrieval] = rows("SELECT * FROM retrievals")
    assert (turn["query"], turn["answer"]) == (QUESTION, "inside [1]")
    assert retrieval["turn_id"] == turn["turn_id"]


def test_a_failing_engine_ends_its_turn(rows: Rows) -> None:
    error = LookupError("closed")
    engine = RetrieverQueryEngine.from_args(handbook(error).as_retriever(), llm=FixedModel(text="-"))
    with pytest.raises(LookupError) as caught:
        engine.query(QUESTION)
    assert caught.value is error
    assert ragwheel.current_turn() is None
    [turn] = rows("SELECT * FROM turns")
    assert (turn["error"], turn["answer"]) == ("LookupError", None)


def test_an_engine_without_retrieval_leaves_no_turn(rows: Rows) -> None:
    from llama_index.core.chat_engine import SimpleChatEngine

    SimpleChatEngine.from_defaults(llm=FixedModel(text="hello")).chat("hi")
    retriever().retrieve(QUESTION)
    assert rows("SELECT * FROM turns") == []


def test_a_stream_that_is_closed_early_is_recorded_as_far_as_it_came(rows: Rows) -> None:
    engine = RetrieverQueryEngine.from_args(retriever(), llm=FixedModel(text="a b c d"), streaming=True)
    stream = engine.query(QUESTION).response_gen
    assert next(stream) == "a"
    stream.close()
    assert [row["answer"] for row in rows("SELECT answer FROM turns")] == ["a"]


def test_a_filter_is_a_reranking_and_what_rewrites_nodes_is_none(rows: Rows) -> None:
    post = [SimilarityPostprocessor(similarity_cutoff=-2.0), MetadataReplacementPostProcessor("window")]
    RetrieverQueryEngine.from_args(
        retriever(), llm=FixedModel(text="so [1]"), node_postprocessors=post
    ).query(QUESTION)
    kinds = rows("SELECT kind, retriever FROM retrievals ORDER BY start_ns")
    assert [row["retriever"] for row in kinds] == ["VectorIndexRetriever", "SimilarityPostprocessor"]
    assert [row["kind"] for row in kinds] == ["retrieval", "rerank"]


def test_tags_name_the_source_and_the_version(rows: Rows) -> None:
    with instrument_tags({"ragwheel_source": "kb", "ragwheel_version": 7}):
        retriever().retrieve(QueryBundle(QUESTION))
    [row] = rows("SELECT query, source, version, top_k FROM retrievals")
    assert tuple(row.values()) == (QUESTION, "kb", "7", 4)


class OwnSearch(BaseRetriever):
    """An app's own retriever, which calls the method that it overrides."""

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(id_="1", text="one"), score=1.0)]

    def retrieve(self, str_or_query_bundle: Any) -> list[NodeWithScore]:
        return super().retrieve(str_or_query_bundle)


def test_a_retriever_that_overrides_retrieve_is_recorded_once(rows: Rows) -> None:
    OwnSearch().retrieve(QUESTION)
    assert len(rows("SELECT * FROM retrievals")) == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: handbook().as_retriever(similarity_top_k=4, vector_store_query_mode="mmr"), "mode=mmr"),
        (lambda: QueryFusionRetriever([retriever()], llm=FixedModel(text=""), num_queries=1), "Fusion"),
        (OwnSearch, "no field for the number of chunks"),
    ],
)
def test_what_is_no_plain_top_k_search_is_not_asked_for_more(make: Any, reason: str, rows: Rows) -> None:
    own = make()
    wrapped = wrap_retriever(own, source="kb")
    assert [n.node_id for n in wrapped.retrieve(QUESTION)] == [n.node_id for n in own.retrieve(QUESTION)]
    row = rows("SELECT * FROM retrievals WHERE source = 'kb'")[0]
    [flag] = json.loads(row["flags"])
    assert flag.startswith("overfetch_refused: ")
    assert reason in flag
    assert row["outer_id"] is None


def test_a_wrapped_retriever_has_what_the_apps_own_has(rows: Rows) -> None:
    wrapped = wrap_retriever(retriever(3), 8)
    wrapped.retriever.similarity_top_k = 2
    assert wrapped.similarity_top_k == 2
    engine = RetrieverQueryEngine.from_args(wrapped, llm=FixedModel(text="so [2]"))
    assert len(engine.query(QUESTION).source_nodes) == 2
    assert len(asyncio.run(wrapped.aretrieve(QUESTION))) == 2
    found = rows("SELECT n_chunks, n_returned, turn_id FROM retrievals ORDER BY start_ns")
    assert [(row["n_chunks"], row["n_returned"]) for row in found] == [(8, 2), (8, 2)]
    assert found[0]["turn_id"] is not None
    with pytest.raises(AttributeError):
        wrapped.nothing_of_the_kind  # noqa: B018 - the look-up is tested


@pytest.mark.parametrize("options", [{"capture_k": 0}, {"capture_k": True}])
def test_wrap_retriever_says_what_it_takes(options: Any) -> None:
    with pytest.raises(ragwheel.ConfigurationError, match="whole number"):
        wrap_retriever(retriever(), **options)
    with pytest.raises(ragwheel.ConfigurationError, match="as_retriever"):
        wrap_retriever(print)  # type: ignore[arg-type]


def test_a_reranker_gives_the_best_and_records_all(rows: Rows) -> None:
    def by_part(query: str, texts: list[str]) -> list[float]:
        return [float(text.split()[1]) for text in texts]

    engine = RetrieverQueryEngine.from_args(
        retriever(12), llm=FixedModel(text="so [1]"),
        node_postprocessors=[RagwheelRerank(by_part, top_n=3, version="v1")],
    )  # fmt: skip
    sources = engine.query(QUESTION).source_nodes
    assert [node.node_id for node in sources] == ["11", "10", "9"]
    [row] = rows("SELECT * FROM retrievals WHERE kind = 'rerank'")
    assert (row["retriever"], row["version"], row["n_chunks"], row["n_returned"]) == ("reranker", "v1", 12, 3)
    [citation] = rows("SELECT chunk_id FROM citations")
    assert citation["chunk_id"] == "11"


def test_a_reranker_that_fails_costs_nothing(rows: Rows) -> None:
    def failing(query: str, texts: list[str]) -> list[float]:
        raise RuntimeError("out of memory")

    nodes = retriever(6).retrieve(QUESTION)
    kept = RagwheelRerank(failing, top_n=2).postprocess_nodes(nodes, query_str=QUESTION)
    assert kept == nodes[:2]
    [row] = rows("SELECT flags FROM retrievals WHERE kind = 'rerank'")
    assert "rerank_failed: RuntimeError" in row["flags"]
    counted = ragwheel.stats().errors
    assert counted.pop("re-ranking") == 1
    from ragwheel.integration import guard

    guard.reset()


def test_adapted_embeddings_change_questions_alone(rows: Rows) -> None:
    swap = np.eye(16, dtype=np.float32)[::-1] - np.eye(16, dtype=np.float32)
    adapter = Adapter(maps=swap[None])
    base = HookedEmbedding()
    embeddings = EmbeddingsAdapter(base, adapter)
    assert embeddings.get_text_embedding("a") == base.get_text_embedding("a")
    own = base.get_query_embedding("a")
    assert embeddings.get_query_embedding("a") == pytest.approx(own[::-1], abs=1e-5)
    assert asyncio.run(embeddings.aget_query_embedding("a")) == pytest.approx(own[::-1], abs=1e-5)
    handbook().as_retriever(embed_model=embeddings).retrieve(QUESTION)
    assert [row["version"] for row in rows("SELECT version FROM retrievals")] == [embeddings.version]
    with pytest.raises(ragwheel.ConfigurationError, match="BaseEmbedding"):
        EmbeddingsAdapter(print, adapter)  # type: ignore[arg-type]


def test_the_apps_interrupt_reaches_it_although_handlers_are_shielded(rows: Rows, monkeypatch: Any) -> None:
    begin, interrupts = ragwheel_llamaindex.instrumentation._begin_retrieval, [KeyboardInterrupt()]

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if interrupts:  # once: a second one would be delivered to a later test
            raise interrupts.pop()
        return begin(*args, **kwargs)

    monkeypatch.setattr("ragwheel_llamaindex.instrumentation._begin_retrieval", interrupted)

    def search() -> None:
        for _ in range(2000):  # until it is delivered
            retriever().retrieve(QUESTION)

    with pytest.raises(KeyboardInterrupt):
        search()


def test_uninstrument_takes_the_handler_off(rows: Rows) -> None:
    handlers = get_dispatcher().span_handlers
    before = len(handlers)
    ragwheel_llamaindex.uninstrument()
    assert len(handlers) == before - 1


def test_the_corpus_is_whole(rows: Rows) -> None:
    assert len(retriever(40).retrieve(QUESTION)) == len(CORPUS)


class Fixed(BaseRetriever):
    """Finds the same nodes for every question, or raises."""

    def __init__(self, names: str, error: BaseException | None = None) -> None:
        self.names, self.error = names, error
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self.error is not None:
            raise self.error
        return [
            NodeWithScore(node=TextNode(id_=name, text=f"text of {name}"), score=0.5) for name in self.names
        ]


def ids(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node_id for node in nodes]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_fused_retriever_gives_the_best_of_all_and_its_searches_hang_under_it(
    is_async: bool, rows: Rows
) -> None:
    fused = RagwheelFusionRetriever([Fixed("ab"), Fixed("bc")], Fusion("rrf", (1.0, 2.0)), similarity_top_k=2)
    nodes = asyncio.run(fused.aretrieve(QUESTION)) if is_async else fused.retrieve(QUESTION)
    assert ids(nodes) == ["b", "c"]
    assert nodes[0].score == pytest.approx(1 / 62 + 2 / 61)
    outer, *inner = rows(
        "SELECT source, retrieval_id, outer_id, n_returned FROM retrievals ORDER BY start_ns"
    )
    assert (outer["source"], outer["outer_id"], outer["n_returned"]) == ("RagwheelFusionRetriever", None, 2)
    assert [row["outer_id"] for row in inner] == [outer["retrieval_id"]] * 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_retriever_that_fails_is_left_out_of_the_fusion(is_async: bool) -> None:
    def search(*retrievers: Fixed) -> list[str]:
        fused = RagwheelFusionRetriever(retrievers)
        return ids(asyncio.run(fused.aretrieve(QUESTION)) if is_async else fused.retrieve(QUESTION))

    assert search(Fixed("", TimeoutError("it sleeps")), Fixed("ab")) == ["a", "b"]
    with pytest.raises(TimeoutError, match="it sleeps"):
        search(Fixed("", TimeoutError("it sleeps")), Fixed("", ValueError("nor this")))
    with pytest.raises(KeyboardInterrupt):
        search(Fixed("", KeyboardInterrupt()), Fixed("ab"))


@pytest.mark.parametrize(
    ("retrievers", "options", "message"),
    [
        ([], {}, "allowed are LlamaIndex BaseRetrievers"),
        ([str], {}, "allowed are LlamaIndex BaseRetrievers"),
        ([Fixed("a")], {"fusion": Fusion()}, "1 retrievers and 2 weights"),
        ([Fixed("a")], {"similarity_top_k": 0}, "whole number from 1"),
    ],
)
def test_what_a_fused_retriever_refuses(retrievers: Any, options: Any, message: str) -> None:
    with pytest.raises(ragwheel.ConfigurationError, match=message):
        RagwheelFusionRetriever(retrievers, **options)
