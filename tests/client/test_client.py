"""Both clients against a real server: the shared contract, outages, kills and forks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ragwheel
from ragwheel import collector
from ragwheel.client import AsyncSignalClient, ClientOptions, SignalClient
from ragwheel.errors import ConfigurationError
from ragwheel.store import open_store
from ragwheel.testing.serving import served

CONTRACT = json.loads((Path(__file__).parents[1] / "contract" / "signals.json").read_text(encoding="utf-8"))
KEY = "k1:" + "5a" * 32
QUICK = ClientOptions(linger_s=0.01, backoff_s=0.01, max_backoff_s=0.05, timeout_s=5)


class Script:
    """An ASGI app that answers as it is told, and remembers what it was asked."""

    def __init__(self, responses: list[dict[str, Any]] | None = None) -> None:
        self.responses = list(responses or [])
        self.requests: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.asked = threading.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                await send({"type": message["type"] + ".complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        signals = json.loads(body)["signals"]
        self.requests.append(signals)
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        kept = {"status": 200, "results": ["kept"] * len(signals)}
        response = self.responses.pop(0) if self.responses else kept
        self.asked.set()
        if response.get("fails"):
            raise ConnectionError("as told")
        text = response.get("text", "{}")
        if "results" in response:
            results = [
                {"event_id": s["event_id"], "status": status, "reason": "so" if status == "refused" else None}
                for s, status in zip(signals, response["results"])
            ]
            text = json.dumps({"results": results})
        headers = [(name.encode(), value.encode()) for name, value in response.get("headers", {}).items()]
        await send({"type": "http.response.start", "status": response["status"], "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})


class Sync:
    """The blocking client, spoken to as the other one is."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        self.client = SignalClient(*given, **settings)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if name == "stats":
            return found

        async def call(*given: Any, **settings: Any) -> Any:
            return await asyncio.to_thread(found, *given, **settings)

        return call


@pytest.fixture(params=["memory", "disk"])
def outbox(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "signals"


@pytest.fixture(params=[Sync, AsyncSignalClient], ids=["sync", "async"])
def make(request):
    return request.param


@contextlib.contextmanager
def scripted(*responses: dict[str, Any]) -> Iterator[tuple[Script, str]]:
    script = Script(list(responses))
    with served(script) as url:
        yield script, url


@pytest.mark.parametrize("case", CONTRACT["answers"], ids=[case["name"] for case in CONTRACT["answers"]])
async def test_contract_answers(make, outbox, case):
    with scripted(*case["responses"]) as (script, url):
        options = replace(QUICK, linger_s=2.0)
        client = make(url, outbox=outbox, options=options)
        sent = [await client.signal("h", "click", chunk=n) for n in range(case["signals"])]
        assert await client.flush(10)
        found = client.stats()
        assert await client.close()
    assert [len(request) for request in script.requests] == case["requests"]
    assert (found.sent, sum(found.refused.values())) == (case["sent"], case["refused"])
    assert (found.accepted, found.pending, found.dropped) == (case["signals"], 0, {})
    assert {s["event_id"] for request in script.requests for s in request} == set(sent)
    assert {header["user-agent"] for header in script.headers} == {f"ragwheel-client/{ragwheel.__version__}"}
    assert outbox is None or list(outbox.parent.glob("**/*.seg")) == []


@pytest.mark.parametrize("case", CONTRACT["signals"], ids=[case["name"] for case in CONTRACT["signals"]])
async def test_contract_signals_reach_the_store(make, tmp_path, case):
    db = tmp_path / "app.db"
    ragwheel.configure(db, signing_keys=[KEY])

    @ragwheel.retriever(name="kb")
    def search(query):
        return [{"id": chunk, "text": f"text of {chunk}"} for chunk in CONTRACT["chunks"]]

    with ragwheel.turn("tea?", user_id="u1") as turn:
        search("tea?")
    with served(collector.app()) as url:
        client = make(url, options=QUICK)
        event_id = await client.signal(turn.retrievals[0].handle, **case["send"])
        assert await client.close()
    ragwheel.flush()
    connection = open_store(db)
    connection.row_factory = lambda cursor, row: dict(zip([c[0] for c in cursor.description], row))
    (found,) = connection.execute("SELECT * FROM signals").fetchall()
    connection.close()
    assert (found["event_id"], found["kind"], found["subject"], found["flags"]) == (
        event_id, case["send"]["kind"], "u1", None,
    )  # fmt: skip
    assert {name: found[name] for name in case["stored"]} == case["stored"]


@pytest.mark.parametrize("case", CONTRACT["refused"], ids=[case["name"] for case in CONTRACT["refused"]])
async def test_contract_signals_are_refused(make, tmp_path, case):
    ragwheel.configure(tmp_path / "app.db", signing_keys=[KEY])

    @ragwheel.retriever(name="kb")
    def search(query):
        return [{"id": chunk, "text": f"text of {chunk}"} for chunk in CONTRACT["chunks"]]

    with ragwheel.turn("tea?", user_id="u1") as turn:
        search("tea?")
    with served(collector.app()) as url:
        client = make(url, options=QUICK)
        assert await client.signal(turn.retrievals[0].handle, **case["send"])
        assert await client.close()
    found = client.stats()
    assert (found.sent, found.pending, dict(found.refused)) == (0, 0, {case["reason"]: 1})
    assert ragwheel.stats().refused == {f"collector: {case['reason']}": 1}


async def test_batches_are_bounded(make, outbox):
    with scripted({"status": 503}) as (script, url):
        client = make(url, outbox=outbox, options=replace(QUICK, batch_items=10, linger_s=5.0))
        for n in range(35):
            await client.signal("h", "click", chunk=n)
        assert await client.close(10)
    assert max(map(len, script.requests)) == 10
    assert sum(map(len, script.requests[1:])) == 35
    assert script.requests[0] == script.requests[1]  # the same events, with the same ids


async def test_a_batch_that_is_too_large_is_sent_in_halves(make, outbox):
    refusals = [{"status": 413}, {"status": 413}, {"status": 413}]
    with scripted(*refusals) as (script, url):
        client = make(url, outbox=outbox, options=replace(QUICK, linger_s=2.0))
        for n in range(4):
            await client.signal("h", "click", chunk=n)
        assert await client.flush(10)
        found = client.stats()
        await client.close()
    assert [len(request) for request in script.requests[:3]] == [4, 2, 1]
    assert (found.sent, found.refused) == (3, {"HTTP 413": 1})


async def test_retry_after_is_honoured(make):
    with scripted({"status": 429, "headers": {"Retry-After": "30"}}) as (script, url):
        client = make(url, options=QUICK)
        await client.signal("h", "click", chunk=1)
        assert await asyncio.to_thread(script.asked.wait, 10)
        assert not await client.flush(0.3)
        assert len(script.requests) == 1
        found = client.stats()
        assert (found.pending, found.failures, found.sent) == (1, 1, 0)
        assert not await client.close(0.1)
        assert client.stats().dropped == {"closed": 1}


async def test_what_cannot_be_sent_is_dropped_and_counted(make, outbox):
    with scripted() as (_, url):
        small = replace(QUICK, max_item_bytes=500, max_outbox_bytes=1000, linger_s=5.0)
        client = make(url, outbox=outbox, options=small)
        assert await client.signal("h", "click", chunk=object()) is None
        assert await client.signal("h", "reformulate", query="q" * 600) is None
        assert await client.signal("h", "reformulate", query="\ud800") is None
        accepted = [await client.signal("h", "reformulate", query="q" * 300) for _ in range(4)]
        found = client.stats()
        assert found.dropped == {"not JSON": 2, "too large": 1, "outbox full": accepted.count(None)}
        assert 2 <= found.accepted == 4 - accepted.count(None) < 4
        assert await client.close(10)


@pytest.mark.parametrize("url", ["", "signals.example", "ftp://x", "http://"])
def test_a_url_that_is_none(url):
    with pytest.raises(ConfigurationError, match="ragwheel serve"):
        SignalClient(url)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://x", "http://x/v1/signals"),
        ("http://x/", "http://x/v1/signals"),
        ("http://x/v1/signals", "http://x/v1/signals"),
        ("https://x/ragwheel", "https://x/ragwheel/v1/signals"),
    ],
)
def test_the_address(given, url):
    assert SignalClient(given).url == url


# outages, kills, forks

DEAF = "http://127.0.0.1:9"  # discard: nobody listens
FILL = """
import sys
from ragwheel.client import SignalClient
client = SignalClient(sys.argv[1], outbox=sys.argv[2])
for n in range(int(sys.argv[3])):
    print(client.signal("h", "click", chunk=n), flush=True)
sys.stdin.read()
"""


def fill(outbox: Path, n: int) -> tuple[subprocess.Popen[str], list[str]]:
    """A process that has ``n`` signals in an outbox and lives until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", FILL, DEAF, str(outbox), str(n)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    return process, [process.stdout.readline().strip() for _ in range(n)]


def end(process: subprocess.Popen[str], how: int = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.communicate(timeout=300)


def test_what_was_accepted_survives_a_kill(tmp_path):
    killed, ids = fill(tmp_path / "signals", 200)
    end(killed)
    with (
        scripted({"status": 500}) as (script, url),
        SignalClient(url, outbox=tmp_path / "signals", options=QUICK) as client,
    ):
        client.signal("h", "click", event_id="mine")
        assert client.flush(20)
        assert client.stats().sent == 201
    seen = [s["event_id"] for request in script.requests[1:] for s in request]
    assert sorted(seen) == sorted([*ids, "mine"])
    assert list(tmp_path.glob("**/*.seg")) == []


def test_what_a_living_process_holds_is_left_to_it(tmp_path):
    living, ids = fill(tmp_path / "signals", 20)
    try:
        with scripted() as (script, url):
            with SignalClient(url, outbox=tmp_path / "signals", options=QUICK) as client:
                assert client.flush(20)
            assert script.requests == []
            end(living)
            with SignalClient(url, outbox=tmp_path / "signals", options=QUICK) as client:
                assert client.flush(20)
            assert client.stats().sent == 20
            assert [s["event_id"] for request in script.requests for s in request] == ids
    finally:
        living.kill()
        living.wait()


def test_a_torn_end_is_stepped_over(tmp_path):
    killed, ids = fill(tmp_path / "signals", 5)
    end(killed)
    (segment,) = tmp_path.glob("**/*.seg")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 7)
    with scripted() as (script, url), SignalClient(url, outbox=tmp_path / "signals", options=QUICK) as client:
        assert client.flush(20)
        assert client.stats().sent == 4
    assert [s["event_id"] for request in script.requests for s in request] == ids[:4]
    assert list(tmp_path.glob("**/*.seg")) == []


def test_an_outbox_turns_over_many_files(tmp_path, monkeypatch):
    from ragwheel.client import outbox

    monkeypatch.setattr(outbox, "SEGMENT_BYTES", 2000)
    with scripted(*[{"status": 503}] * 3) as (script, url):
        options = replace(QUICK, batch_items=7)
        client = SignalClient(url, outbox=tmp_path / "signals", options=options)
        ids = [client.signal("h", "click", chunk=n) for n in range(200)]
        assert client.close(20)
    seen = [s["event_id"] for request in script.requests[3:] for s in request]
    assert seen == ids
    assert list(tmp_path.glob("**/*.seg")) == []


def test_a_forked_child_sends_its_own_and_not_its_parents(tmp_path):
    with scripted({"status": 503}) as (script, url):
        options = ClientOptions(linger_s=0.01, backoff_s=600)
        client = SignalClient(url, outbox=tmp_path / "signals", options=options)
        client.signal("h", "click", event_id="parent")
        assert script.asked.wait(10)
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                client.signal("h", "click", event_id="child")
                status = 0 if client.close(10) and client.stats().sent == 1 else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert [[s["event_id"] for s in request] for request in script.requests] == [["parent"], ["child"]]
        assert client.stats().pending == 1
        client.close(0.1)
        with SignalClient(url, outbox=tmp_path / "signals", options=QUICK) as second:
            assert second.flush(20)
            assert second.stats().sent == 1
    assert [s["event_id"] for s in script.requests[2]] == ["parent"]


def test_many_threads(tmp_path):
    with scripted() as (script, url):
        with SignalClient(url, outbox=tmp_path / "signals", options=QUICK) as client:
            threads = [
                threading.Thread(target=lambda: [client.signal("h", "click", chunk=n) for n in range(50)])
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert client.flush(20)
        found = client.stats()
    assert (found.accepted, found.sent, found.pending) == (200, 200, 0)
    assert len({s["event_id"] for request in script.requests for s in request}) == 200
