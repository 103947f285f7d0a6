"""What is wrapped stays what it was: attributes, methods, operators, copies and pickles."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import inspect
import pickle
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import Any

import pytest

import ragwheel


class Index:
    """An app's index."""

    kind = "bm25"

    def __init__(self, n: int = 0) -> None:
        self.n = n
        self.entered = False

    def __call__(self, query: str) -> list[str]:
        self.n += 1
        return ["a"]

    def __len__(self) -> int:
        return 7

    def __getitem__(self, key: int) -> int:
        return key * 2

    def __contains__(self, item: object) -> bool:
        return item == "a"

    def __enter__(self) -> Index:
        self.entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self.entered = False

    def __repr__(self) -> str:
        return f"Index({self.n})"

    def add(self, n: int) -> None:
        self.n += n


at_module_level = ragwheel.retriever(Index())


@ragwheel.retriever
@functools.lru_cache
def cached_at_module_level(query: str) -> tuple[str, ...]:
    return ("a",)


def test_an_object_keeps_its_attributes_methods_and_operators(store):
    bare: Any = Index()
    index: Any = ragwheel.retriever(bare)
    assert index("q") == ["a"]
    assert (index.n, bare.n, index.kind, len(index), index[4], "a" in index) == (1, 1, "bm25", 7, 8, True)
    index.add(5)
    index.label = "new"
    assert (bare.n, bare.label, repr(index)) == (6, "new", "Index(6)")
    del index.label
    assert not hasattr(bare, "label")
    assert isinstance(index, Index)
    assert callable(index)
    assert inspect.signature(index) == inspect.signature(bare)
    assert index.__doc__ == "An app's index."
    assert vars(index) is vars(bare)
    with index as inside:
        assert inside is index
        assert bare.entered
    assert store.retrieval()["retriever"] == "Index"


def test_copies_and_pickles_of_an_object_are_recorded_too(store):
    index = ragwheel.retriever(source="kb")(Index(3))
    for other in (copy.copy(index), copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert other.n == 3
        other("q")
        assert other.n == 4
    assert index.n == 3
    assert [row["source"] for row in store.retrievals()] == ["kb"] * 3
    assert pickle.loads(pickle.dumps(at_module_level)).kind == "bm25"


def test_a_cached_function(store):
    calls = []

    @ragwheel.retriever
    @functools.lru_cache
    def search(query):
        calls.append(query)
        return ("a",)

    assert search("q") is search("q")
    assert search.cache_info().hits == 1
    search.cache_clear()
    search("q")
    assert calls == ["q", "q"]
    assert search.__name__ == "search"
    assert len(store.retrievals()) == 3
    assert pickle.loads(pickle.dumps(cached_at_module_level)) is cached_at_module_level


def test_a_cached_method(store):
    class Shelf:
        @ragwheel.retriever
        @functools.lru_cache  # noqa: B019 - apps do
        def search(self, query):
            return (self, query)

    shelf = Shelf()
    assert shelf.search("q") == (shelf, "q")
    assert Shelf.search.cache_info().misses == 1
    assert store.retrieval()["query"] == "q"


def test_bound_methods_and_partials(store):
    index = Index()
    method: Any = ragwheel.retriever(index.__call__)
    assert method.__self__ is index
    assert inspect.ismethod(method)
    partial = ragwheel.retriever(functools.partial(lambda query, k: [query] * k, k=2))
    assert partial.keywords == {"k": 2}
    assert partial("q") == ["q", "q"]
    assert asyncio.run(ragwheel.retriever(functools.partial(_coroutine, k=1))("q")) == ["q"]
    assert inspect.iscoroutinefunction(ragwheel.retriever(functools.partial(_coroutine, k=1)))


async def _coroutine(query, k):
    return [query] * k


def test_a_dataclass_and_its_equality(store):
    @dataclass
    class Search:
        k: int

        def __call__(self, query):
            return [query]

    search = ragwheel.retriever(Search(3))
    assert search == Search(3)
    assert search != Search(4)
    with pytest.raises(TypeError, match="unhashable"):
        hash(search)


def test_attributes_of_a_function_that_change_later(store):
    """As tenacity, cachetools and hand-made counters have them."""

    def counted(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            counter.calls += 1
            return fn(*args)

        counter: Any = wrapper
        counter.calls = 0
        return counter

    @ragwheel.retriever
    @counted
    def search(query):
        return ["a"]

    search("q")
    search("q")
    assert search.calls == 2
    search.calls = 0
    search("q")
    assert search.calls == 1


def test_statistics_of_tenacity(store):
    tenacity = pytest.importorskip("tenacity")
    attempts = []

    @ragwheel.retriever
    @tenacity.retry(stop=tenacity.stop_after_attempt(3))
    def search(query):
        attempts.append(query)
        if len(attempts) < 2:
            raise ValueError
        return ["a"]

    search("q")
    assert search.statistics["attempt_number"] == 2


SCRIPT = """
import pickle, sys
import ragwheel

@ragwheel.retriever(source="kb", adapter=lambda item: {"id": item, "text": item})
def search(query, k=2):
    return [query] * k

@ragwheel.retriever
async def coroutine(query): return [query]

@ragwheel.retriever
def generator(query): yield query

@ragwheel.retriever
async def agenerator(query): yield query

class Index:
    def __call__(self, query): return [query]
index = ragwheel.retriever(Index())

import {library} as library
raw = [library.dumps(each) for each in (search, coroutine, generator, agenerator, index)]
open(sys.argv[1], "wb").write(pickle.dumps(raw))
"""


@pytest.mark.parametrize("library", ["cloudpickle", "dill"])
def test_pickled_by_value_and_recorded_elsewhere(store, tmp_path, library):
    pytest.importorskip(library)
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(textwrap.dedent(SCRIPT.replace("{library}", library)))
    subprocess.run([sys.executable, script, out], check=True)
    loads = importlib.import_module(library).loads
    search, coroutine, generator, _, index = map(loads, pickle.loads(out.read_bytes()))
    assert search("q") == ["q", "q"]
    assert asyncio.run(coroutine("q")) == index("q") == list(generator("q")) == ["q"]
    assert [row["texts"] for row in store.retrievals()] == [["q", "q"], ["q"], ["q"], ["q"]]


def test_a_hash_of_a_function_is_the_same_in_every_process(tmp_path):
    """As the fingerprint of `datasets.map` and joblib's memory need it."""
    pytest.importorskip("dill")
    script = tmp_path / "script.py"
    lines = SCRIPT.replace("{library}", "dill").strip().splitlines()[:-1]
    lines.append("import hashlib; print(hashlib.sha256(library.dumps(search, recurse=True)).hexdigest())")
    script.write_text("\n".join(lines))
    hashes = {
        subprocess.run([sys.executable, script], check=True, capture_output=True).stdout for _ in range(2)
    }
    assert len(hashes) == 1
