"""The cases of docs/security.md: each line of its table names the test that is here."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import re
import socket
import threading
import time
import tracemalloc
from pathlib import Path

import httpx
import pytest

import ragwheel
from ragwheel import collector, handles
from ragwheel.collector.bodies import BadBody, check_depth, unpack
from ragwheel.collector.limits import Buckets, network
from ragwheel.journal import writer

KEY, OTHER_KEY = "k1:" + "5a" * 32, "k2:" + "c3" * 32
GOOD = {"kind": "click", "chunk": "c1"}
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status, and the reason of the request or of its only signal."""
    found = answer.json()
    return answer.status_code, found["error"] if "error" in found else found["results"][0]["reason"]


# handles

HANDLES = {
    "no handle": (lambda shop: None, "handle: missing"),
    "empty": (lambda shop: "", "handle: missing"),
    "not a handle": (lambda shop: "turn-17", "handle: malformed"),
    "unsigned": (lambda shop: shop.handle(key=None), "handle: not signed"),
    "expired": (lambda shop: shop.handle(now_s=time.time() - handles.LIFETIME_S - 1), "handle: expired"),
    "foreign app": (lambda shop: shop.handle(app="bank"), "handle: foreign app"),
    "foreign key": (lambda shop: shop.handle(key=OTHER_KEY), "handle: unknown key"),
    "foreign key with our id": (lambda shop: shop.handle(key="k1:" + "c3" * 32), "handle: bad signature"),
    "tampered": (lambda shop: shop.turn[:20] + "A" * 4 + shop.turn[24:], "handle: bad signature"),
}
ROUTES = {
    "one": lambda item: item,
    "list": lambda item: [item],
    "signals": lambda item: {"signals": [item]},
    "form": lambda item: str(httpx.QueryParams({k: v for k, v in item.items() if v is not None})),
    "ubi": lambda item: {
        "query_id": item.get("handle"), "action_name": "click", "timestamp": "2026-01-01T00:00:00Z",
        "event_attributes": {"object": {"object_id": "c1"}, "position": {"ordinal": 1}},
    },
}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_handles_that_are_refused(shop, route):
    for name, (make, reason) in HANDLES.items():
        item = {"handle": make(shop), **GOOD}
        if item["handle"] is None:
            del item["handle"]
        body = ROUTES[route](item)
        if route == "ubi" and "handle" not in item:
            del body["query_id"]
        form = {"Content-Type": "application/x-www-form-urlencoded"} if route == "form" else {}
        assert refusal(shop.post(body, headers=form)) == (403, reason), name
    assert shop.rows() == []
    assert shop.rows("kind", "unmatched_signals") == []


def test_every_byte_of_a_handle_counts(shop):
    changed = []
    for at, old in enumerate(shop.turn):
        changed += [shop.turn[:at] + new + shop.turn[at + 1 :] for new in "Aa0_.-=" if new != old]
        changed += [shop.turn[:at] + shop.turn[at + 1 :], shop.turn[:at]]
    assert len(changed) >= 8 * len(shop.turn)
    for at in range(0, len(changed), 400):
        results = shop.results(*({"handle": handle, **GOOD} for handle in changed[at : at + 400]))
        assert {status for status, _ in results} == {"refused"}
    assert shop.results({"handle": shop.turn, **GOOD}) == [("kept", None)]


def test_keys_rotate(open_shop):
    shop = open_shop(keys=(OTHER_KEY, KEY))
    assert handles.parse(shop.turn, [OTHER_KEY]).signed, "the first key signs"
    with pytest.raises(handles.BadHandle, match="unknown key"):
        handles.parse(shop.turn, [KEY])
    old, new = shop.handle(key=KEY), shop.handle(key=OTHER_KEY)
    assert shop.results({"handle": old, **GOOD}, {"handle": new, **GOOD}) == [
        ("kept", None),
        ("duplicate", None),
    ]


def test_the_subject_is_the_handles(shop):
    shop.post({"handle": shop.turn, "subject": "mallory", "user_id": "mallory", **GOOD})
    assert shop.rows() == [("click", "c1", "u1")]


def test_a_reformulation_names_the_new_query_by_a_handle_that_is_checked_too(shop):
    item = {"handle": shop.turn, "kind": "reformulate", "query": "green tea"}
    for other, reason in (
        ("x", "other: malformed"), (shop.handle(key=None), "other: not signed"), (7, "other: malformed"),
        (shop.handle(app="bank"), "other: foreign app"),
    ):  # fmt: skip
        assert shop.results({**item, "other": other}) == [("refused", reason)]
    assert shop.results({**item, "other": shop.retrieval}) == [("kept", None)]


# unsigned handles on this machine


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
        {"Host": "evil.example"},
        {"Host": "evil.example:8321"},
    ],
)
def test_trust_local_is_for_direct_requests(open_shop, headers):
    shop = open_shop(keys=(), trust_local=True)
    item = {"handle": shop.turn, **GOOD}
    assert refusal(shop.post(item, headers=headers)) == (403, "handle: not signed")
    assert shop.results(item) == [("kept", None)]


def test_trust_local_is_not_for_pages_of_elsewhere(open_shop):
    shop = open_shop(keys=(), trust_local=True)
    item = {"handle": shop.turn, **GOOD}
    assert refusal(shop.post(item, headers={"Origin": "https://evil.example"})) == (403, "origin not allowed")


# origins and what can be read


def test_origins(open_shop):
    shop = open_shop(origins=["https://shop.example"])
    item = {"handle": shop.turn, **GOOD}
    for origin in (
        "https://evil.example",
        "https://shop.example.evil.example",
        "http://shop.example",
        "null",
    ):
        answer = shop.post(item, headers={"Origin": origin})
        assert refusal(answer) == (403, "origin not allowed")
        assert "access-control-allow-origin" not in answer.headers
    answer = shop.post(item, headers={"Origin": "https://shop.example", "Cookie": "session=1"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["vary"] == "Origin"
    assert not {"set-cookie", "access-control-allow-credentials"} & set(answer.headers)
    assert shop.post(item, headers={"Origin": shop.url}).status_code == 200


def test_preflight(open_shop):
    shop = open_shop(origins=["https://shop.example"])

    def ask(origin: str, method: str = "POST") -> httpx.Response:
        headers = {
            "Origin": origin, "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type",
        }  # fmt: skip
        return shop.http.request("OPTIONS", "/v1/signals", headers=headers)

    assert ask("https://shop.example").status_code == 200
    assert ask("https://shop.example").headers["access-control-allow-origin"] == "https://shop.example"
    assert ask("https://evil.example").status_code == 400
    assert "access-control-allow-origin" not in ask("https://evil.example").headers
    assert ask("https://shop.example", "GET").status_code == 400
    assert ask("https://shop.example", "GET").headers["access-control-allow-methods"] == "POST"


def test_nothing_can_be_read(shop):
    for method, path in [
        ("GET", "/v1/signals"), ("HEAD", "/v1/signals"), ("PUT", "/v1/signals"), ("DELETE", "/v1/signals"),
        ("GET", "/"), ("GET", "/v1/signals/1"), ("GET", "/docs"), ("GET", "/openapi.json"),
        ("GET", "/v1/traces"), ("POST", "/v1/traces"), ("POST", "/healthz"), ("GET", "/../app.db"),
    ]:  # fmt: skip
        assert shop.http.request(method, path).status_code in {404, 405}, (method, path)
    assert shop.http.get("/healthz").json() == {"status": "ok"}


def test_answers_tell_nothing(shop):
    marker = "Zx9marker"
    for item in (
        {"handle": marker, "kind": marker, "chunk": marker, "query": marker, "at": marker, marker: marker},
        {"handle": shop.turn, "kind": marker}, {"handle": shop.turn, "kind": "click", "chunk": {marker: 1}},
        {"handle": shop.turn, "kind": "click", "chunk": "c1", "event_id": f"{marker}\n"},
        {"handle": shop.turn, "kind": "click", "chunk": "c1", "event_id": marker * 100},
    ):  # fmt: skip
        answer = shop.post(item)
        assert 400 <= answer.status_code < 500
        assert marker not in answer.text + str(answer.headers)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert shop.db.name not in shop.post("{").text


def test_what_breaks_inside_is_no_stack_trace(shop, monkeypatch):
    from ragwheel.collector.signals import Collector
    from ragwheel.guard import guard

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Collector, "take", broken)
    monkeypatch.setattr(guard, "strict", False)
    before = sum(ragwheel.stats().errors.values())
    answer = shop.post({"handle": shop.turn, **GOOD})
    assert sum(ragwheel.stats().errors.values()) == before + 1
    assert (answer.status_code, answer.json()) == (503, {"error": "internal error"})
    assert answer.headers["retry-after"]


# bodies

NESTED = b'{"signals":' + b"[" * 100 + b"]" * 100 + b"}"
BODIES = {
    "empty": (b"", {}, 400),
    "not JSON": (b"hello", {}, 400),
    "cut short": (b'{"signals":[{"handle":"', {}, 400),
    "not UTF-8": (b'{"handle":"\xff"}', {}, 422),
    "a number": (b"7", {}, 400),
    "no signals": (b'{"signals":[]}', {}, 400),
    "too many signals": (b"[" + b"1," * 600 + b"1]", {}, 413),
    "deep nesting": (NESTED, {}, 400),
    "nesting inside a string is none": (b'["' + b"[" * 100 + b'"]', {}, 422),
    "a string of quotes": (b'{"a":"' + b'\\"' * 50_000, {}, 400),
    "too large": (b" " * 140_000 + b"{}", {}, 413),
    "an item too large": (b'[{"query":"' + b"q" * 20_000 + b'"}]', {}, 422),
    "lying type": (b"<signals/>", {"Content-Type": "application/json"}, 400),
    "another type": (b"{}", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    "another encoding": (b"{}", {"Content-Encoding": "br"}, 415),
    "not gzip": (b"{}", {"Content-Encoding": "gzip"}, 400),
    "gzip cut short": (gzip.compress(b"[1]")[:-4], {"Content-Encoding": "gzip"}, 400),
    "gzip with a tail": (gzip.compress(b"[1]") + b"x", {"Content-Encoding": "gzip"}, 400),
    "gzip bomb": (gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"}, 413),
    "too many form fields": (b"&".join(b"a%d=1" % n for n in range(100)),
                             {"Content-Type": "application/x-www-form-urlencoded"}, 400),
    "infinite number": (b'[{"handle":"x","kind":"dwell","value":1e999}]', {}, 422),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_refused(shop, name):
    body, headers, status = BODIES[name]
    assert shop.post(body, headers=headers).status_code == status
    assert shop.results({"handle": shop.turn, **GOOD}) == [("kept", None)]  # and it goes on


def test_a_bomb_is_refused_in_bounded_memory():
    bomb = gzip.compress(b"[" * 200_000_000, 9)
    tracemalloc.start()
    try:
        with pytest.raises(BadBody) as refused:
            unpack(bomb, 131_072)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413


@pytest.mark.parametrize("repeated", [b'"\\', b'\\"', b"[]", b'"', b'"[', b'["'], ids=repr)
@pytest.mark.parametrize("before", [b"", b'"'], ids=repr)
def test_depth_is_checked_in_linear_time(before, repeated):
    body = before + repeated * (120_000 // len(repeated) - 1)
    started_s = time.process_time()
    with contextlib.suppress(BadBody):
        check_depth(body, 8)
    assert time.process_time() - started_s < 1.0  # 20 ms; quadratic, minutes


@contextlib.contextmanager
def connection(url: str):
    """A bare connection to the collector."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as found:
        yield found


def head(length: object, more: str = "") -> bytes:
    return f"POST /v1/signals HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def answer_of(found: socket.socket) -> bytes:
    """Everything until the server ends the connection."""
    received = b""
    while part := found.recv(65_536):
        received += part
    return received


def test_a_slow_body_is_timed_out(open_shop):
    assert collector.RequestLimits().body_timeout_s == 10
    shop = open_shop(limits=collector.RequestLimits(body_timeout_s=0.3))
    with connection(shop.url) as slow:
        slow.sendall(head(100) + b"{")
        assert answer_of(slow).startswith(b"HTTP/1.1 408")


def test_a_slow_head_is_timed_out(shop, monkeypatch):
    from ragwheel.collector.server import PatientProtocol

    assert PatientProtocol.head_timeout_s == 10
    monkeypatch.setattr(PatientProtocol, "head_timeout_s", 0.3)
    with connection(shop.url) as silent:
        assert answer_of(silent) == b""
    with connection(shop.url) as second:
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert second.recv(1000).startswith(b"HTTP/1.1 200")
        second.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        assert answer_of(second) in {b"", b'{"status":"ok"}'}


def test_a_length_that_promises_too_much_is_refused_at_once(shop):
    for length, statuses in ((10**9, b"413"), (10**30, b"400")):  # so long a number is none
        with connection(shop.url) as liar:
            liar.sendall(head(length) + b"{")
            assert answer_of(liar).startswith(b"HTTP/1.1 " + statuses)


def test_a_length_that_is_none_is_refused(shop):
    for length in ("-1", "abc", "1e3"):
        with connection(shop.url) as liar:
            liar.sendall(head(length) + b"{}")
            assert answer_of(liar).startswith(b"HTTP/1.1 400")


def test_a_body_shorter_than_its_length_is_not_taken(shop):
    body = json.dumps({"handle": shop.turn, **GOOD}).encode()
    with connection(shop.url) as liar:
        liar.sendall(head(len(body) + 10) + body)
        liar.shutdown(socket.SHUT_WR)
        assert b"kept" not in answer_of(liar)  # and the server is done with it
    assert shop.rows() == []


def test_a_body_longer_than_its_length_is_cut(shop):
    body = json.dumps({"handle": shop.turn, **GOOD}).encode()
    with connection(shop.url) as liar:
        liar.sendall(head(len(body), "Connection: close\r\n") + body + b"more")
        assert answer_of(liar).startswith(b"HTTP/1.1 200")
    assert len(shop.rows()) == 1


def test_an_endless_body_is_ended(shop):
    with connection(shop.url) as endless:
        endless.sendall(b"POST /v1/signals HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):  # reset while we still send
            for _ in range(1000):
                endless.sendall(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
            assert answer_of(endless).startswith(b"HTTP/1.1 413")
    assert shop.results({"handle": shop.turn, **GOOD}) == [("kept", None)]


@pytest.mark.parametrize("at_once", [(2, 99), (99, 2)], ids=["of all", "of one address"])
def test_requests_at_once_are_bounded(open_shop, at_once):
    limits = collector.RequestLimits()
    assert (limits.requests_at_once, limits.requests_at_once_per_address) == (256, 64)
    limits = collector.RequestLimits(requests_at_once=at_once[0], requests_at_once_per_address=at_once[1])
    shop = open_shop(limits=limits)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            waiting = stack.enter_context(connection(shop.url))
            waiting.sendall(head(100, "Expect: 100-continue\r\n"))
            assert waiting.recv(100).startswith(b"HTTP/1.1 100")  # its body is being waited for
        assert refusal(shop.post({"handle": shop.turn, **GOOD})) == (503, "too many requests at once")
    deadline = time.monotonic() + 10
    while shop.post({"handle": shop.turn, **GOOD}).status_code == 503:
        assert time.monotonic() < deadline


# rates


def test_a_subject_that_sends_too_much_is_told_to_wait(open_shop):
    shop = open_shop(limits=collector.RequestLimits(subject_per_s=0.001, subject_burst=3))
    items = [{"handle": shop.turn, "kind": "click", "chunk": "c1", "event_id": str(n)} for n in range(5)]
    other = {"handle": shop.handle(subject="u2"), **GOOD}
    assert [status for status, _ in shop.results(*items, other)] == ["kept"] * 3 + ["later"] * 2 + ["kept"]
    answer = shop.post(items)
    assert refusal(answer) == (429, "too many signals from this subject")
    assert int(answer.headers["retry-after"]) > 100


def test_an_address_that_sends_too_much_is_told_to_wait(open_shop):
    shop = open_shop(limits=collector.RequestLimits(address_per_s=0.001, address_burst=3))
    item = {"handle": shop.turn, **GOOD}
    assert shop.post([item] * 3).status_code == 200
    for body in (item, "junk"):
        answer = shop.post(body)
        assert refusal(answer) == (429, "too many signals from this address")
        assert int(answer.headers["retry-after"]) > 100


def test_requests_that_cannot_be_read_count_too(open_shop):
    shop = open_shop(limits=collector.RequestLimits(address_per_s=0.001, address_burst=3))
    assert [shop.post("junk").status_code for _ in range(5)] == [400, 400, 400, 429, 429]


def test_buckets_refill_and_never_grow():
    now = [0.0]
    buckets = Buckets(2.0, 4, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.5]
    now[0] = 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0.0
    now[0] = 1000.0
    assert buckets.take("a", 5) == 0.0  # more than a full bucket holds: it takes all
    tracemalloc.start()
    try:
        for n in range(5_000):
            buckets.take(f"invented {n}")
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


def test_an_ipv6_network_is_one_address():
    assert network("2001:db8:1:2::5") == network("2001:db8:1:2:ffff::9") != network("2001:db8:1:3::5")
    assert network("::ffff:192.0.2.7") == network("192.0.2.7") != network("192.0.2.8")
    assert network("unix") == "unix"
    assert network(None) == ""


def test_many_at_once_are_one_row(open_shop):
    shop = open_shop()
    item = {"handle": shop.turn, "kind": "click", "chunk": "c1", "event_id": "once"}
    answers: list[int] = []

    def send() -> None:
        answers.extend(shop.post([item] * 10).status_code for _ in range(5))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {200}
    assert shop.rows() == [("click", "c1", "u1")]


def test_the_table_of_cases_names_tests_that_exist():
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT.read_text(encoding="utf-8")))
    folders = (Path(__file__).parent, Path(__file__).parents[1] / "labels")
    here = "".join(path.read_text(encoding="utf-8") for f in folders for path in f.glob("test_*.py"))
    assert named
    assert {name for name in named if f"def {name}(" not in here} == set()
    security = set(re.findall(r"def (test_\w+)\(", Path(__file__).read_text(encoding="utf-8")))
    assert security - named == {"test_the_table_of_cases_names_tests_that_exist"}


class FullDisk:
    """The module ``os``, as the journal sees it, with no room for one more byte."""

    def write(self, fd, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name):
        return getattr(os, name)


def test_a_disk_that_takes_nothing_is_a_503(shop, monkeypatch):
    ragwheel.flush()
    monkeypatch.setattr(writer, "os", FullDisk())
    answer = shop.post({"handle": shop.turn, **GOOD})
    assert refusal(answer) == (503, "could not be stored")
    assert answer.headers["retry-after"] == "2"
    monkeypatch.undo()
    assert shop.rows() == []
    assert ragwheel.stats().dropped == {"disk_full": 1}
    assert shop.results({"handle": shop.turn, **GOOD}) == [("kept", None)]
    assert shop.rows() == [("click", "c1", "u1")]
