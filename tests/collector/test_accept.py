"""Each field of a signal at its bounds: what is kept, what is refused, and for which reason."""

from __future__ import annotations

import asyncio
from dataclasses import fields

import pytest

from ragwheel import handles
from ragwheel.collector.accept import AHEAD_NS, OLDEST_NS, Sender, SignalValidator, fingerprint
from ragwheel.collector.bodies import BadBody, check_depth, read_body, unpack
from ragwheel.collector.limits import Buckets, InFlight, RequestLimits, network
from ragwheel.collector.wire import BadItem, Item
from ragwheel.errors import ConfigurationError

KEY = "k:" + "ab" * 32
SPAN, TRACE, OTHER_SPAN = bytes(range(8)), bytes(range(16)), bytes(range(8, 16))
ISSUED_S = 1_900_000_000
NOW_NS = (ISSUED_S + 3600) * 10**9
RULES = SignalValidator([KEY], ["shop"], max_text_chars=20)
LOCAL = Sender(local=True)


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr("time.time", lambda: NOW_NS / 1e9)


def handle(span=SPAN, *, subject="u1", app="shop", keys=(KEY,), kind=handles.RETRIEVAL):
    return handles.make(handles.Target(kind, span, TRACE, subject, app), keys, now_s=ISSUED_S)


def record(kind="click", *, sender=Sender(), rules=RULES, by=None, **values):  # noqa: B008
    item = Item(handle=handle() if by is None else by, kind=kind, **values)
    return rules.record(item, sender, NOW_NS)


def reason(*args, **values):
    with pytest.raises(BadItem) as refused:
        record(*args, **values)
    return refused.value.reason


def test_a_record_has_what_the_handle_and_the_signal_say():
    kept = record("rating", chunk="c1", value=4.0, event_id="e1", at=ISSUED_S + 60)
    assert (kept.target, kept.target_id, kept.trace_id) == (handles.RETRIEVAL, SPAN, TRACE)
    assert (kept.kind, kept.chunk, kept.rank, kept.value, kept.event_id) == ("rating", "c1", None, 4.0, "e1")
    assert (kept.subject, kept.flags) == ("u1", ())
    assert (kept.at_ns, kept.received_ns) == ((ISSUED_S + 60) * 10**9, NOW_NS)
    assert record(by=handle(kind=handles.TURN), chunk="c1").target == handles.TURN


@pytest.mark.parametrize("rank", [1, 2, 2**31 - 1])
def test_ranks_that_are_kept(rank):
    assert record(rank=rank).rank == rank


@pytest.mark.parametrize("rank", [0, -1, 2**31, 2**40])
def test_ranks_that_are_refused(rank):
    assert reason(rank=rank) == "rank out of range"


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("click", {}, "chunk missing"),
        ("click", {"chunk": ""}, "chunk missing"),
        ("prefer", {"other": "d"}, "chunk missing"),
        ("prefer", {"chunk": "c"}, "other missing"),
        ("prefer", {"chunk": "c", "other": ""}, "other missing"),
        ("abandon", {"chunk": "c"}, "takes no chunk"),
        ("abandon", {"rank": 1}, "takes no chunk"),
        ("reformulate", {"query": "q", "chunk": "c"}, "takes no chunk"),
        ("reformulate", {"query": "q", "rank": 1}, "takes no chunk"),
        ("reformulate", {}, "query missing"),
        ("reformulate", {"query": " \n"}, "query missing"),
        ("reformulate", {"other": 7}, "other: malformed"),
        ("reformulate", {"other": "u1.x.y"}, "other: malformed"),
        ("click", {"chunk": "c", "other": "d"}, "takes no other"),
        ("abandon", {"other": "d"}, "takes no other"),
        ("retract", {}, "other missing"),
        ("retract", {"other": "retract"}, "a retraction of a retraction"),
        ("rating", {"chunk": "c"}, "value missing"),
        ("rating", {"chunk": "c", "value": 5.01}, "value out of range"),
        ("rating", {"chunk": "c", "value": -0.01}, "value out of range"),
        ("dwell", {"chunk": "c", "value": float("nan")}, "value out of range"),
        ("", {"chunk": "c"}, "kind missing"),
        ("klick", {"chunk": "c"}, "unknown kind"),
        ("click", {"chunk": "c", "event_id": "e\n"}, "event_id malformed"),
        ("click", {"chunk": "c", "event_id": "e" * 129}, "event_id malformed"),
    ],
)
def test_what_is_refused(kind, values, why):
    assert reason(kind, **values) == why


@pytest.mark.parametrize(
    ("kind", "values", "kept"),
    [
        ("click", {"rank": 3}, (None, 3, None)),
        ("click", {"chunk": 7}, ("7", None, None)),
        ("click", {"chunk": "x" * 1001}, ("x" * 1000, None, None)),
        ("thumbs_up", {}, (None, None, None)),
        ("thumbs_up", {"chunk": "c"}, ("c", None, None)),
        ("prefer", {"chunk": "c", "other": 8}, ("c", None, "8")),
        ("prefer", {"rank": 2, "other": "d"}, (None, 2, "d")),
        ("abandon", {}, (None, None, None)),
        ("reformulate", {"query": "better"}, (None, None, None)),
        ("reformulate", {"other": handle(OTHER_SPAN)}, (None, None, OTHER_SPAN.hex())),
        ("retract", {"other": "click"}, (None, None, "click")),
        ("retract", {"other": "e1", "chunk": "c"}, ("c", None, "e1")),
    ],
)
def test_what_a_signal_is_about(kind, values, kept):
    one = record(kind, **values)
    assert (one.chunk, one.rank, one.other) == kept


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_the_bounds_of_a_value_are_inside(value):
    assert record("rating", chunk="c", value=value).value == value


@pytest.mark.parametrize(
    ("sender", "values", "why"),
    [
        (Sender(), {"by": ""}, "handle: missing"),
        (LOCAL, {"by": ""}, "handle: missing"),
        (Sender(), {"by": handle(keys=())}, "handle: not signed"),
        (Sender(), {"by": handle(app="another")}, "handle: foreign app"),
        (LOCAL, {"by": handle(app="another")}, "handle: foreign app"),
        (Sender(), {"by": handle(keys=["z:" + "cd" * 32])}, "handle: unknown key"),
        (Sender(), {"kind": "reformulate", "other": handle(keys=())}, "other: not signed"),
        (Sender(), {"kind": "reformulate", "other": handle(app="another")}, "other: foreign app"),
    ],
)
def test_handles_that_are_refused(sender, values, why):
    values.setdefault("chunk", None if values.get("kind") else "c")
    assert reason(sender=sender, **values) == why


def test_without_a_list_of_apps_the_keys_decide():
    assert record(rules=SignalValidator([KEY], (), 20), by=handle(app="another"), chunk="c").subject == "u1"


@pytest.mark.parametrize(
    ("by", "subject", "kept"),
    [
        (handle(), "liar", "u1"),
        (handle(keys=()), "u2", "u2"),
        (handle(keys=()), 7, "7"),
        (handle(keys=()), "", None),
    ],
    ids=["signed", "unsigned", "a number", "empty"],
)
def test_only_beside_an_unsigned_handle_the_sender_names_the_subject(by, subject, kept):
    assert record(sender=LOCAL, by=by, chunk="c", subject=subject).subject == kept


@pytest.mark.parametrize(
    ("at", "at_ns", "flags"),
    [
        (None, NOW_NS, ()),
        (NOW_NS / 1e9, NOW_NS, ()),
        ((NOW_NS + AHEAD_NS) / 1e9, NOW_NS, ()),
        ((NOW_NS + AHEAD_NS) / 1e9 + 1, NOW_NS, ("clock",)),
        (float(ISSUED_S), ISSUED_S * 10**9, ()),
        (float(ISSUED_S - 2), (ISSUED_S - 2) * 10**9, ()),
        (float(ISSUED_S - 3), NOW_NS, ("clock",)),
        (0.0, NOW_NS, ("clock",)),
        (2.0**33 - 1, NOW_NS, ("clock",)),
        ("2030-03-17T17:46:40Z", ISSUED_S * 10**9, ()),
        ("2030-03-17T17:46:40z", ISSUED_S * 10**9, ()),
        ("2030-03-17T17:46:40", ISSUED_S * 10**9, ()),
        ("2030-03-17T19:46:40+02:00", ISSUED_S * 10**9, ()),
    ],
)
def test_times(at, at_ns, flags):
    kept = record(chunk="c", at=at)
    assert (kept.at_ns, kept.flags) == (at_ns, flags)


@pytest.mark.parametrize("at", [-0.001, 2.0**33, float("inf"), float("nan"), "noon", "", "Z", "9999-99-99"])
def test_times_that_are_none(at):
    assert reason(chunk="c", at=at) == "time out of range"


def test_an_unsigned_handle_bounds_the_time_by_the_longest_life_of_one():
    oldest_s = (NOW_NS - OLDEST_NS) // 10**9
    kept, late = (
        record(sender=LOCAL, by=handle(keys=()), chunk="c", at=float(at)) for at in (oldest_s, oldest_s - 1)
    )
    assert (kept.at_ns, kept.flags) == (oldest_s * 10**9, ())
    assert (late.at_ns, late.flags) == (NOW_NS, ("clock",))


def test_texts_are_cut_and_what_was_done_to_them_is_flagged():
    kept = record("reformulate", query="q" * 21, comment="c" * 21, sender=Sender(bot=True))
    assert (kept.query, kept.comment) == ("q" * 20, "c" * 20)
    assert kept.flags[-1] == "bot"
    assert len(kept.flags) == 3
    whole = record("reformulate", query="q" * 20, comment="c" * 20)
    assert (whole.query, whole.comment, whole.flags) == ("q" * 20, "c" * 20, ())


@pytest.mark.parametrize("event_id", ["e", "e" * 128, 7, 0, "é"])
def test_event_ids_of_the_sender_are_kept(event_id):
    assert record(chunk="c", event_id=event_id).event_id == str(event_id)


DIFFERENT = [
    {"by": handle(OTHER_SPAN)},
    {"kind": "copy"},
    {"chunk": "d"},
    {"rank": 2},
    {"value": 1.0},
    {"by": handle(subject="u2")},
    {"query": "why"},
    {"at": ISSUED_S + 2.0},
]


@pytest.mark.parametrize("event_id", [None, ""])
@pytest.mark.parametrize("change", DIFFERENT, ids=lambda change: next(iter(change)))
def test_without_an_id_of_the_sender_the_content_is_the_event(event_id, change):
    act = {"kind": "thumbs_up", "chunk": "c", "rank": 1, "at": ISSUED_S + 1.0, "event_id": event_id}
    if "value" in change:
        act |= {"kind": "rating", "value": 2.0}
    assert record(**act).event_id == record(**act).event_id
    assert record(**act).event_id.startswith("content-")
    assert record(**act).event_id != record(**act | change).event_id


def test_the_fingerprint_leaves_out_texts_and_times():
    act = {"kind": "prefer", "chunk": "c", "other": "d"}
    assert fingerprint(record(**act)) == fingerprint(
        record(**act, query="why", comment="x", at=ISSUED_S + 9.0)
    )
    assert fingerprint(record(**act)) != fingerprint(record(**act | {"other": "e"}))
    assert len(fingerprint(record(**act))) == 16


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_a_bucket_holds_a_burst_and_fills_up_by_the_second():
    clock = Clock()
    buckets = Buckets(2.0, 10, clock=clock)
    assert buckets.take("a", 10) == 0.0
    assert buckets.take("a", 3) == 1.5
    assert buckets.take("b", 4) == 0.0
    clock.now_s += 1.0
    assert buckets.take("a", 3) == 0.5
    clock.now_s += 0.5
    assert buckets.take("a", 3) == 0.0
    assert buckets.take("a") == 0.5
    clock.now_s += 3600
    assert buckets.take("a", 10) == 0.0
    assert buckets.take("a") == 0.5


def test_more_than_a_burst_passes_a_full_bucket_and_empties_it():
    clock = Clock()
    buckets = Buckets(2.0, 10, clock=clock)
    assert buckets.take("a", 25) == 0.0
    assert buckets.take("a", 25) == 5.0
    clock.now_s += 5
    assert buckets.take("a", 25) == 0.0


def test_without_a_rate_everything_passes():
    buckets = Buckets(0.0, 1)
    assert [buckets.take("a", 100) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_requests_in_flight_are_counted_in_all_and_by_address():
    flight = InFlight(3, 2)
    assert [flight.enter(address) for address in "aaab"] == [True, True, False, True]
    assert flight.now == 3
    assert not flight.enter("c")
    flight.leave("a")
    assert flight.enter("c")
    for address in "abc":
        flight.leave(address)
    assert flight.now == 0
    assert [flight.enter("a"), flight.enter("a"), flight.enter("a")] == [True, True, False]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002"),
        ("2001:db8:1:2::", "20010db800010002"),
        ("2001:db8:1:3::", "20010db800010003"),
        ("testclient", "testclient"),
        ("", ""),
        (None, ""),
    ],
)
def test_what_counts_as_one_address(host, name):
    assert network(host) == name


@pytest.mark.parametrize("name", [field.name for field in fields(RequestLimits)])
def test_each_limit_has_a_least_value(name):
    rate = name.endswith(("_per_s", "_per_day"))
    least, below = (0.0, -0.1) if rate else (0.001, 0.0) if name.endswith("_s") else (1, 0)
    assert getattr(RequestLimits(**{name: least}), name) == least
    with pytest.raises(
        ConfigurationError, match=rf"Limits\({name}=\.\.\.\): got {below!r}, allowed: {least:g} or more"
    ):
        RequestLimits(**{name: below})


def body_of(*parts, declared=None, encoding="", **limits):
    async def chunks():
        for part in parts:
            yield part

    return asyncio.run(read_body(chunks(), declared, encoding, RequestLimits(**limits)))


def test_a_body_may_be_as_long_as_the_limit():
    assert body_of(b"12", b"345", declared="5", body_bytes=5) == b"12345"
    assert body_of(b"12", encoding=" IDENTITY ") == b"12"
    for parts, declared in (((b"123", b"456"), None), ((b"1",), "6"), ((b"1",), "9" * 20)):
        with pytest.raises(BadBody) as refused:
            body_of(*parts, declared=declared, body_bytes=5)
        assert refused.value.status == 413


@pytest.mark.parametrize(
    ("values", "status"),
    [({"declared": "-1"}, 400), ({"declared": "٣"}, 400), ({"declared": ""}, 400), ({"encoding": "br"}, 415)],
)
def test_heads_of_bodies_that_are_refused(values, status):
    with pytest.raises(BadBody) as refused:
        body_of(b"{}", **values)
    assert refused.value.status == status


def test_an_unpacked_body_may_be_as_long_as_the_limit():
    import gzip

    packed = gzip.compress(b"x" * 100)
    assert unpack(packed, 100) == body_of(packed, encoding=" GZIP ", body_bytes=100) == b"x" * 100
    for body, most, status in (
        (packed, 99, 413),
        (packed[:-1], 100, 400),
        (packed + b"x", 100, 400),
        (b"x", 9, 400),
    ):
        with pytest.raises(BadBody) as refused:
            unpack(body, most)
        assert refused.value.status == status


@pytest.mark.parametrize(
    "body",
    [b"[[[]]]", b'[{"a":[1]}]', b"[] [] [] []", b'{"a":"[[[[[[","b":"\\"[[[["}', b'["[[[[[['],
    ids=repr,
)
def test_depth_that_is_allowed(body):
    check_depth(body, 3)


@pytest.mark.parametrize("body", [b"[[[[]]]]", b'[{"a":[{}]}]', b'[["\\\\",[[1]]]]'], ids=repr)
def test_depth_that_is_refused(body):
    with pytest.raises(BadBody, match="nested too deeply"):
        check_depth(body, 3)
