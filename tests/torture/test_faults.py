"""Internal functions of the online half made to raise, one at a time: the app must not notice.

A function that the app of this test never comes to is skipped with that reason, so that the report of a run
counts the failures that really happened.
"""

import asyncio
import importlib
import inspect
import logging
import pkgutil
import sys
import threading
import types

import pytest
from tests.torture.counts import count

import ragwheel
from ragwheel.guard import guard

PACKAGES = ("ragwheel.capture", "ragwheel.citations", "ragwheel.journal", "ragwheel.store")
MODULES = ("ragwheel.runtime", "ragwheel.ids", "ragwheel.scores")
# What the app itself calls: there, everything below is caught. Shells of a line or two around what is
# caught further down count as such.
CALLED_BY_THE_APP = {
    "ragwheel.runtime": {
        "configure", "flush", "shutdown", "stats", "active",
        "Runtime.__init__", "Runtime.stats", "Runtime.write_signal", "Runtime.refuse",
    },
    "ragwheel.capture.retriever": {"retriever", "reranker"},
    "ragwheel.capture.signals": {"signal"},
    "ragwheel.capture.recorder": {
        "start_retrieval", "Retrieval.finish", "Retrieval.fail", "Retrieval.handle", "Retrieval.enter",
        "Retrieval.leave",
    },
    "ragwheel.capture.turn": {
        "turn", "Turn.__init__", "Turn.__enter__", "Turn.__exit__", "Turn.__aenter__", "Turn.__aexit__",
        "Turn.answer", "Turn.prompted", "Turn.shown", "Turn._list", "Turn.run", "Turn.bind",
        "Turn.examples",
    },
    "ragwheel.capture.context": {"current_turn", "last_retrieval", "leave"},
    "ragwheel.capture.call": {
        "RetrieverCall.end", "RetrieverCall.raised", "RetrieverCall.returned", "RetrieverCall.items",
        "RetrieverCall.__enter__", "RetrieverCall.__exit__",
        "Spec.begin", "Spec.share_attributes",
    },
    "ragwheel.capture.bound": {"_Within.__init__", "_Within.__enter__", "_Within.__exit__"},
    "ragwheel.capture.interleave": {
        "begin", "interleave", "_Mix.__init__", "_Mix.__enter__", "_Mix.__exit__", "_Mix.guarded",
        "_Guarded.__init__", "_Guarded.__enter__", "_Guarded.__exit__",
    },
    "ragwheel.capture.items": {"Items.__init__", "Items.add", "Items.end", "Items.failed"},
    "ragwheel.store.background": {"BackgroundMerger._loop", "BackgroundMerger._run"},
}  # fmt: skip
OFFLINE = {
    f"ragwheel.store.{name}"
    for name in (
        "about",
        "artifacts",
        "backup",
        "erase",
        "erase_metadata",
        "erase_proof",
        "erase_rows",
        "imported",
        "judging",
        "raw",
        "unreadable",
    )
}  # these fail loudly
MERGE_PROCESS = "ragwheel.store.merge_process"
ANOTHER_PROCESS = "ragwheel.store.merge_slices"  # ended by what breaks in it, and the thread goes on


class Injected(Exception):
    """What the broken function raises."""


def modules():
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.iter_modules(package.__path__, name + "."):
            yield importlib.import_module(found.name)
    for name in MODULES:
        yield importlib.import_module(name)


def internals():
    """(module, qualified name) of every function and method."""
    for module in modules():
        exempt: set[str] = CALLED_BY_THE_APP.get(module.__name__, set())
        if module.__name__ in OFFLINE or module.__name__ == ANOTHER_PROCESS:
            continue
        for name, found in vars(module).items():
            if getattr(found, "__module__", None) != module.__name__:
                continue
            if isinstance(found, types.FunctionType) and name not in exempt:
                yield module.__name__, name
            elif inspect.isclass(found) and not issubclass(found, BaseException):
                yield from ((module.__name__, method) for method in methods(found) if method not in exempt)


def methods(owner):
    """Qualified names of a class's own functions, not those that a dataclass makes."""
    for name, found in vars(owner).items():
        function = getattr(found, "__func__", found)  # of a static method
        made_by_a_dataclass = getattr(getattr(function, "__code__", None), "co_filename", "") == "<string>"
        if (
            isinstance(function, types.FunctionType)
            and function.__module__ == owner.__module__
            and not made_by_a_dataclass
        ):
            yield f"{owner.__name__}.{name}"


def breaking(monkeypatch, module, qualified):
    """Make it raise, wherever it was imported to; returns the list of calls."""
    calls = []

    def broken(*given, **named):
        calls.append(1)
        raise Injected(f"{module}.{qualified}")

    owner_name, _, method = qualified.partition(".")
    if method:
        monkeypatch.setattr(getattr(sys.modules[module], owner_name), method, broken)
        return calls
    original = getattr(sys.modules[module], owner_name)
    for name, other in list(sys.modules.items()):
        if name.startswith("ragwheel"):
            for attribute, value in list(vars(other).items()):
                if value is original:
                    monkeypatch.setattr(other, attribute, broken)
    return calls


class Hostile(Exception):
    pass


def the_app():
    """An app that does everything in every kind of function and looks at what it gets back.

    Its functions are decorated now, while nothing is broken.
    """
    made = [{"id": n, "text": f"text {n}", "score": 1 / (n + 1), "metadata": {"n": n}} for n in range(5)]
    error = Hostile("the app's own")

    @ragwheel.retriever(name="plain")
    def plain(query, k=5):
        return made

    @ragwheel.retriever
    def generator(query):
        yield from made

    @ragwheel.retriever
    async def coroutine(query):
        return made

    @ragwheel.retriever
    async def agenerator(query):
        for item in made:
            yield item

    @ragwheel.retriever(k="k", capture_k=5)
    def larger(query, k=2):
        return made[:k]

    @ragwheel.reranker
    def rerank(query, chunks):
        return made

    @ragwheel.retriever
    def fails(query):
        raise error

    class Index:
        def search(self, query):
            return made

    index = ragwheel.retriever(Index().search, name="index")
    mixed = ragwheel.interleave(lambda query, k=4: made[:4], lambda query, k=4: made[1:], name="mixed")
    message = {
        "role": "assistant",
        "content": [
            {
                "type": "text", "text": "so",
                "citations": [
                    {"type": "char_location", "document_index": 0, "cited_text": "text 0",
                     "document_title": "t", "start_char_index": 0, "end_char_index": 2}
                ],
            }
        ],
    }  # fmt: skip
    completion = {"choices": [{"message": {"role": "assistant", "content": "so [1]", "annotations": []}}]}

    async def consume():
        return [item async for item in agenerator("q")]

    def run():
        with ragwheel.turn(session_id="s", user_id="u") as turn:
            assert plain("q") is made
            assert all(got is item for got, item in zip(generator("q"), made, strict=True))
            assert asyncio.run(coroutine("q")) is made
            assert all(got is item for got, item in zip(asyncio.run(consume()), made, strict=True))
            got = larger("q")
            assert len(got) == 2
            assert got[0] is made[0]
            assert rerank("q", made) is made
            with pytest.raises(Hostile) as caught:
                fails("q")
            assert caught.value is error
            turn.prompted(made[:2])
            turn.shown(made)
            turn.examples(["liked-1"])
            assert turn.run(index, "q") is made
            assert turn.bind(lambda: 7)() == 7
            assert len(mixed("q")) == 4
            turn.answer(message)
            turn.answer(completion)
            turn.answer("given", [0, made[1], {"id": 2, "start": 0, "end": 1}, "text 3"])
            turn.answer("as [1] says", None)
        assert isinstance(turn.handle, str)
        for retrieved in turn.retrievals[:1]:
            assert ragwheel.signal(retrieved.handle, "click", chunk=1) in (True, False)
            assert ragwheel.signal(retrieved.handle, "copy", rank=2) in (True, False)
        assert ragwheel.signal(turn.handle, "thumbs_up") in (True, False)
        assert ragwheel.signal("no handle", "click", chunk=made[0]) is False
        assert ragwheel.flush(0.5) in (True, False)
        recorder = ragwheel.start_retrieval("q", source="by hand")
        recorder.finish(made)
        assert isinstance(recorder.handle, str)

    return run


INTERNALS = sorted(set(internals()))
SAID_OTHERWISE = {("ragwheel.capture.cut", "first_k")}  # by a flag on the retrieval


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setattr(guard, "strict", False)
    guard.reset()
    yield
    guard.reset()


def test_the_app_works_at_all(tmp_path):
    ragwheel.configure(tmp_path / "app.db")
    the_app()()
    assert ragwheel.flush()
    assert ragwheel.stats().errors == {}


def test_the_list_is_what_it_should_be():
    assert len(INTERNALS) > 150
    assert ("ragwheel.journal.writer", "SegmentWriter.append") in INTERNALS
    assert ("ragwheel.store.rows", "Batch._chunk") in INTERNALS


def test_the_app_comes_to_more_than_half_of_them(tmp_path):
    called: set[tuple[str, str]] = set()
    names: dict[object, tuple[str, str]] = {}
    for module, name in INTERNALS:
        found = sys.modules[module]
        for part in name.split("."):
            found = inspect.getattr_static(found, part)
        function = inspect.unwrap(getattr(found, "__func__", found))
        names[getattr(function, "__code__", None)] = (module, name)

    def look(frame, event, argument):
        if event == "call" and frame.f_code in names:
            called.add(names[frame.f_code])

    ragwheel.configure(tmp_path / "app.db", merge_interval_s=60, merge_in="process")
    run = the_app()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        run()
        ragwheel.shutdown()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert len(called) > 0.5 * len(INTERNALS)


@pytest.mark.parametrize(("module", "name"), INTERNALS, ids=lambda value: value.removeprefix("ragwheel."))
def test_one_broken_function(tmp_path, monkeypatch, lenient, caplog, module, name):
    caplog.set_level(logging.WARNING, "ragwheel")
    merge_in = "process" if module == MERGE_PROCESS else "thread"
    runtime = ragwheel.configure(tmp_path / "app.db", merge_interval_s=60, merge_in=merge_in)
    run = the_app()
    with monkeypatch.context() as patch:
        calls = breaking(patch, module, name)
        run()
        ragwheel.shutdown()
        broke = len(calls)
        count("functions made to raise", int(broke > 0))
        count("injected failures", broke)
    if not broke:
        pytest.skip("the app of this test never calls it")
    if (module, name) not in SAID_OTHERWISE:
        said = [record.getMessage() for record in caplog.records if record.name == "ragwheel"]
        assert said, f"{broke} failures, and no word of it"
        assert len(said) == len(set(said)), "said twice"
        assert sum(guard.counts().values()) >= 1
    assert runtime._journal.emitted == sum(runtime._journal.written.values()) + sum(
        runtime._journal.dropped.values()
    )
