"""A store with questions to judge, and an endpoint on loopback that does as it is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing, contextmanager

import pytest

from ragwheel.llm_judge import Endpoint, JudgeOptions, Limits, judge
from ragwheel.llm_judge.budget import Budget
from ragwheel.llm_judge.client import JudgeClient
from ragwheel.llm_judge.prompts import Ask
from ragwheel.llm_judge.replies import Replies
from ragwheel.store import open_store
from ragwheel.testing import TraceStore
from ragwheel.testing.llm import StubLLM
from ragwheel.testing.serving import served

QUICK = Limits(concurrency=4, timeout_s=5, retries=2, first_wait_s=0.001, max_wait_s=1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Paid replies of a test are its own."""
    monkeypatch.setenv("RAGWHEEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path):
    """Eight questions of three chunks: the first answers, the third is the same for all."""
    with TraceStore(tmp_path / "traces.db") as made:
        for n in range(8):
            words = " ".join(f"topic{n}{letter}" for letter in "abc")
            made.chunk(f"good{n}", f"All about {words}, in full.")
            made.ask(f"what of {words}?", [f"good{n}", f"other{n}", "all"], cited=[1], prompted=[1, 2, 3])
        yield made


def honest(question, passages):
    """5 for a passage with the question's topic, else 0; of two the one that has it."""
    topic = question.split()[2]
    if len(passages) == 1:
        return {"grade": 5 if topic in passages[0] else 0}
    have = [topic in text for text in passages]
    return {
        "better": {(True, False): "A", (False, True): "B", (True, True): "both"}.get(tuple(have), "neither")
    }


@pytest.fixture
def run(store):
    """Judge the store with a scripted endpoint; returns the report, or raises; ``stub`` is left behind."""

    def go(*script, answer=honest, limits=QUICK, stub=None, key=None, **options):
        stub = stub or StubLLM(answer=answer, script=script)
        vars(go)["stub"] = stub
        with served(stub) as url:
            endpoint = Endpoint(f"{url}/v1", "a-model", key=key)
            return judge(store.path, endpoint=endpoint, options=JudgeOptions(limits=limits, **options))

    return go


class Asked:
    """What came of questions that were asked without a store: replies, counts, cost, stub."""

    def __init__(self, stub, budget):
        self.stub, self.budget = stub, budget
        self.replies, self.counts = {}, {}

    @property
    def answers(self):
        return {ask: reply.answer for ask, reply in self.replies.items() if reply.answer is not None}

    @property
    def verdicts(self):
        return Counter(reply.verdict for reply in self.replies.values())


QUESTIONS = [
    Ask(f"what of topic{n}?", (f"{word} about topic{n}",)) for n in range(8) for word in ("all", "more", "no")
]


@pytest.fixture
def ask(cache):
    """Ask 24 questions of a scripted endpoint; ``last`` is what came of it, also when it raises."""

    def go(*script, answer=honest, limits=QUICK, stub=None, key=None, asks=QUESTIONS, budget=None):
        stub = stub or StubLLM(answer=answer, script=script)
        found = vars(go)["last"] = Asked(stub, budget or Budget())
        with served(stub) as url, Replies(cache / "judge.db") as replies:
            engine = JudgeClient(Endpoint(f"{url}/v1", "a-model", key=key), replies, found.budget, limits)
            found.counts = engine.counts
            asyncio.run(engine.run(asks, found.replies.__setitem__))
        return found

    return go


@pytest.fixture
def judgments(store):
    """Rows of the public view that an LLM wrote."""

    def rows(columns="query, chunk_id, grade"):
        with closing(open_store(store.path)) as connection:
            sql = f"SELECT {columns} FROM judgments WHERE judge_kind = 'llm' ORDER BY judgment_id"
            return connection.execute(sql).fetchall()

    return rows


@contextmanager
def serving(**given):
    stub = StubLLM(**given)
    with served(stub) as url:
        yield stub, Endpoint(f"{url}/v1", "a-model")
