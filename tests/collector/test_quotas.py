"""What one person may send in a day, and what one address may hold open without a word."""

import socket

import pytest

import ragwheel
from ragwheel import collector
from ragwheel.collector.limits import Buckets
from ragwheel.collector.server import PatientProtocol


def click(shop, n, **changed):
    return {"handle": shop.handle(**changed), "kind": "click", "chunk": "c1", "event_id": f"e{n}"}


def test_bytes_over_the_days_quota_are_refused_and_counted(open_shop):
    shop = open_shop(limits=collector.RequestLimits(subject_bytes_per_day=2_000, subject_per_s=0))
    results = [shop.results(click(shop, n))[0] for n in range(30)]
    kept = results.index(("refused", "too many bytes from this subject today"))
    assert 2 < kept < 15
    assert results[:kept] == [("kept", None)] * kept
    assert len(set(results[kept:])) == 1
    assert len(shop.rows()) == kept
    refused = ragwheel.stats().refused
    assert refused == {"collector: quota of bytes per subject and day": 30 - kept}
    assert shop.post(click(shop, 99)).status_code == 429
    assert shop.results(click(shop, 0)) == [("duplicate", None)]
    assert shop.results(click(shop, 0, subject="u2")) == [("kept", None)]


def test_without_a_quota_nothing_is_refused(open_shop):
    shop = open_shop(limits=collector.RequestLimits(subject_bytes_per_day=0))
    assert {shop.results(click(shop, n))[0] for n in range(30)} == {("kept", None)}


@pytest.fixture
def few(monkeypatch):
    reasons = []
    monkeypatch.setattr(PatientProtocol, "silent_per_address", 3)
    monkeypatch.setattr(PatientProtocol, "refuse", staticmethod(reasons.append))
    return reasons


def ended(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_silent_connections_of_one_address_are_bounded_and_counted(shop, few):
    shop.http.close()
    address = (shop.http.base_url.host, shop.http.base_url.port)
    silent = [socket.create_connection(address, timeout=30) for _ in range(3)]
    for _ in range(4):
        with socket.create_connection(address, timeout=30) as another:
            assert ended(another)
    assert few == ["collector: too many connections from one address"] * 4
    for connection in silent:
        connection.close()
    deadline = 200
    while deadline:
        with socket.create_connection(address, timeout=30) as late:
            late.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                if late.recv(12) == b"HTTP/1.1 200":
                    break
            except ConnectionResetError:
                pass
        deadline -= 1
    assert deadline


def test_connections_that_have_asked_are_not_counted(shop, few):
    address = (shop.http.base_url.host, shop.http.base_url.port)
    talking = []
    for _ in range(8):
        connection = socket.create_connection(address, timeout=30)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        talking.append(connection)
    assert few == []
    for connection in talking:
        connection.close()


def test_a_proxy_is_not_bounded(shop, few, monkeypatch):
    monkeypatch.setattr(PatientProtocol, "proxies", frozenset({"127.0.0.1"}))
    address = (shop.http.base_url.host, shop.http.base_url.port)
    silent = [socket.create_connection(address, timeout=30) for _ in range(8)]
    assert shop.results(click(shop, 1)) == [("kept", None)]
    assert few == []
    for connection in silent:
        connection.close()


def test_names_share_a_fate_only_where_they_share_both_slots(monkeypatch):
    monkeypatch.setattr(Buckets, "SLOTS", 2)

    def passes(name):
        buckets = Buckets(0.001, 1, clock=lambda: 0.0)
        buckets._secret = b"the same for all"
        buckets.take("flooded")
        return buckets.take(name) == 0.0

    passing = sum(passes(f"name {n}") for n in range(400))
    assert 0.68 <= passing / 400 <= 0.82  # three of four share at most one slot with it
