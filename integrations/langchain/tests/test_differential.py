"""Wrapped against unwrapped: same documents, same exceptions, same events in the app's callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import collect_runs

import ragwheel
from ragwheel_langchain import instrument, uninstrument, wrap_retriever

words = st.text("abcdefgh", min_size=1, max_size=3)
texts = st.lists(words, min_size=0, max_size=70)
EXAMPLES = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("differential") / "ragwheel.db"


@pytest.fixture(params=["instrumented", "wrapped only"], autouse=True)
def _recording(request: pytest.FixtureRequest, db: Path) -> Iterator[None]:
    ragwheel.configure(db=str(db))
    if request.param == "instrumented":
        instrument()
    yield
    uninstrument()


@pytest.fixture
def stored(store_class: Any) -> Callable[[list[str]], Any]:
    return lambda contents: _stored(store_class, contents)


def _stored(store_class: Any, contents: list[str]) -> Any:
    store = store_class(DeterministicFakeEmbedding(size=6))
    store.add_documents(
        [Document(id=f"d{i}", page_content=t, metadata={"part": i % 2}) for i, t in enumerate(contents)]
    )
    return store


def outcome(retriever: Any, query: str, options: dict[str, Any], *, is_async: bool) -> Any:
    """The documents, or what was raised."""
    try:
        if is_async:
            return asyncio.run(retriever.ainvoke(query, **options))
        return retriever.invoke(query, **options)
    except Exception as error:
        return type(error), str(error)


search_settings = st.one_of(
    st.tuples(st.just("similarity"), st.fixed_dictionaries({}, optional={"k": st.integers(-1, 60)})),
    st.tuples(
        st.just("mmr"),
        st.fixed_dictionaries(
            {"k": st.integers(1, 12)},
            optional={"fetch_k": st.integers(1, 20), "lambda_mult": st.floats(0, 1)},
        ),
    ),
    st.tuples(
        st.just("similarity_score_threshold"),
        st.fixed_dictionaries({"score_threshold": st.floats(0, 1)}, optional={"k": st.integers(1, 60)}),
    ),
)
call_options = st.fixed_dictionaries({}, optional={"k": st.integers(1, 50)})


@EXAMPLES
@given(
    contents=texts,
    query=words,
    how=search_settings,
    options=call_options,
    filtered=st.booleans(),
    is_async=st.booleans(),
)
def test_vector_store_retrievers(
    stored: Any,
    contents: list[str],
    query: str,
    how: tuple[str, dict[str, Any]],
    options: Any,
    filtered: bool,
    is_async: bool,
) -> None:
    search_type, search_kwargs = how
    if filtered:
        options = {**options, "filter": lambda document: document.metadata["part"] == 0}
    retriever = stored(contents).as_retriever(search_type=search_type, search_kwargs=search_kwargs)
    plain = outcome(retriever, query, options, is_async=is_async)
    assert outcome(wrap_retriever(retriever), query, options, is_async=is_async) == plain


@EXAMPLES
@given(
    st.lists(words, min_size=1, max_size=70), words, st.integers(-2, 60), st.integers(1, 60), st.booleans()
)
def test_bm25_gives_the_very_same_objects(
    contents: list[str], query: str, k: int, capture_k: int, is_async: bool
) -> None:
    pytest.importorskip("rank_bm25")
    bm25 = pytest.importorskip("langchain_community.retrievers.bm25").BM25Retriever
    retriever = bm25.from_texts(contents, k=k)
    plain = outcome(retriever, query, {}, is_async=is_async)
    wrapped = outcome(wrap_retriever(retriever, capture_k), query, {}, is_async=is_async)
    assert [id(d) for d in wrapped] == [id(d) for d in plain]
    assert retriever.k == k


@EXAMPLES
@given(contents=texts, query=words, k=st.integers(1, 20), is_async=st.booleans())
def test_an_ensemble_of_wrapped_retrievers(
    stored: Any, contents: list[str], query: str, k: int, is_async: bool
) -> None:
    ensemble = pytest.importorskip("langchain_classic.retrievers").EnsembleRetriever
    store = stored(contents)
    members = [store.as_retriever(search_kwargs={"k": k}), store.as_retriever(search_type="mmr")]
    plain = outcome(ensemble(retrievers=members), query, {}, is_async=is_async)
    inside = ensemble(retrievers=[wrap_retriever(m) for m in members])
    assert outcome(inside, query, {}, is_async=is_async) == plain
    assert outcome(wrap_retriever(inside), query, {}, is_async=is_async) == plain


def seen_by(retriever: Any, watcher: Any, *, is_async: bool) -> Any:
    """What the app's callbacks, its tracer and its event stream are told of one call in a chain."""

    async def stream_events(config: Any) -> list[Any]:
        events = [e async for e in chain.astream_events("q", config, version="v2")]
        kept = ("event", "name", "tags", "metadata", "data")
        return [{key: e.get(key) for key in kept} for e in events]

    watching = watcher()
    config = {"callbacks": [watching], "tags": ["app"], "metadata": {"tenant": 7}}
    chain = retriever.with_config(run_name="handbook") | RunnableLambda(len)
    with collect_runs() as collected:
        if is_async:
            asyncio.run(chain.ainvoke("q", config))
        else:
            chain.invoke("q", config)
    [root] = collected.traced_runs
    runs = [(r.name, r.run_type, r.tags, r.extra, r.inputs, r.outputs) for r in (root, *root.child_runs)]
    return watching.events, runs, asyncio.run(stream_events(config))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("search_type", ["similarity", "mmr"])
def test_the_apps_traces(search_type: str, is_async: bool, watcher: Any, stored: Any) -> None:
    retriever = stored([f"text {i}" for i in range(50)]).as_retriever(
        search_type=search_type, tags=["kb"], metadata={"team": "a"}
    )
    plain = seen_by(retriever, watcher, is_async=is_async)
    assert seen_by(wrap_retriever(retriever, source="kb"), watcher, is_async=is_async) == plain
    assert sum(event[0] == "retriever start" for event in plain[0]) == 2  # the call and the streamed one


@pytest.mark.parametrize("is_async", [False, True])
def test_what_the_app_named_its_retriever_shows_in_its_traces(
    is_async: bool, watcher: Any, shelf: Any
) -> None:
    shelf.name, shelf.tags, shelf.metadata = "The Shelf", ["paper"], {"room": 3}
    seen = []
    for retriever in (shelf, wrap_retriever(shelf)):
        watching = watcher()
        if is_async:
            asyncio.run(retriever.ainvoke("q", {"callbacks": [watching]}))
        else:
            retriever.invoke("q", {"callbacks": [watching]})
        seen.append(watching.events)
    assert seen[0] == seen[1]
    assert seen[0][0][3] == "The Shelf"
