"""Bodies to signals, each limit at its bound; and which chunks a retrieval is known to have served."""

from __future__ import annotations

import json
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from ragwheel.collector.bodies import BadBody
from ragwheel.collector.history import EventHistory
from ragwheel.collector.limits import RequestLimits
from ragwheel.collector.wire import BadItem, Item, decode, items_of
from ragwheel.journal.records import SignalRecord

LIMITS = RequestLimits()
FORM = "application/x-www-form-urlencoded"


def sent(body, content_type="", **limits):
    return [json.loads(item) for item in items_of(body, content_type, RequestLimits(**limits))]


def refusal(body, content_type="", **limits):
    with pytest.raises(BadBody) as refused:
        items_of(body, content_type, RequestLimits(**limits))
    return refused.value.status, str(refused.value)


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "text/plain;charset=UTF-8", " Application/JSON ; x=1", FORM]
)
@pytest.mark.parametrize(
    "body", [b'{"signals":[{"kind":"click"}]}', b' [{"kind":"click"}]\n', b'{"kind":"click"}']
)
def test_json_is_json_whatever_the_type_says(content_type, body):
    assert sent(body, content_type) == [{"kind": "click"}]


@pytest.mark.parametrize("content_type", ["text/html", "application/jsonx", "multipart/form-data; a=b"])
def test_other_types_are_refused(content_type):
    assert refusal(b"{}", content_type)[0] == 415


def test_so_many_signals_and_so_deep_as_the_limits_say():
    assert len(sent(b"[{},{},{}]", items=3)) == 3
    assert refusal(b"[{},{},{}]", items=2) == (413, "too many signals")
    assert refusal(b"[]") == refusal(b'{"signals":[]}') == (400, "no signals")
    assert sent(b'[{"a":[1]}]', depth=3) == [{"a": [1]}]
    assert refusal(b'[{"a":[1]}]', depth=2)[0] == 400


@pytest.mark.parametrize("body", [b"", b"7", b"[1", b'{"signals":7}', b'{"signals":null}', b'"x"'], ids=repr)
def test_what_is_no_json_of_signals_is_refused(body):
    assert refusal(body) == (400, "body is not the JSON of signals")


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\uD83D\uDE00", "\U0001f600"),
        (rb"\ud83d", "\ufffd"),
        (rb"\ude00 \ud83d!", "\ufffd \ufffd!"),
        (rb"\\ud83d", "\\ud83d"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\u00e9\ud83d", "é\ufffd"),
    ],
    ids=repr,
)
def test_lone_surrogates_are_replaced_and_pairs_are_kept(escaped, text):
    assert sent(b'{"query":"' + escaped + b'"}') == [{"query": text}]


def test_forms_have_numbers_where_numbers_are_meant():
    fields = {"kind": "rating", "chunk": "7", "rank": "2", "value": "4.5", "at": "1.9e9", "query": "5"}
    assert sent(urlencode(fields).encode(), FORM) == [fields | {"rank": 2, "value": 4.5, "at": 1.9e9}]
    odd = {"rank": "2.5", "value": "many", "at": "2030-03-17T17:46:40Z"}
    assert sent(urlencode(odd).encode(), FORM) == [odd | {"rank": 2.5}]
    assert sent(urlencode({"value": "-.5", "at": "+1."}).encode(), FORM) == [{"value": -0.5, "at": 1.0}]
    assert sent(urlencode({"value": "٣"}).encode(), FORM) == [{"value": "٣"}]


def test_a_form_may_hold_the_json_of_signals():
    signals = [{"kind": "click", "query": "é\U0001f600"}]
    assert sent(urlencode({"signals": json.dumps(signals)}).encode(), FORM) == signals


@pytest.mark.parametrize("n", [40, 41])
def test_a_form_has_40_fields_at_most(n):
    body = urlencode({f"a{i}": "1" for i in range(n)}).encode()
    if n == 40:
        assert len(sent(body, FORM)[0]) == 40
    else:
        assert refusal(body, FORM) == (400, "body is not a URL-encoded form")


@pytest.mark.parametrize("body", ["a=é".encode(), b"a", b"&&"], ids=repr)
def test_what_is_no_form_is_refused(body):
    assert refusal(body, FORM) == (400, "body is not a URL-encoded form")


def test_a_signal_may_be_as_long_as_the_limit():
    raw = b'{"kind":"click","event_id":"e"}'
    assert decode(raw, RequestLimits(item_bytes=len(raw))) == Item(kind="click", event_id="e")
    with pytest.raises(BadItem, match="signal too large"):
        decode(raw, RequestLimits(item_bytes=len(raw) - 1))


@pytest.mark.parametrize(
    ("raw", "event_id"),
    [
        (b'{"kind":"click","rank":"x","event_id":"e"}', "e"),
        (b'{"kind":"click","rank":"x","event_id":7}', "7"),
        (b'{"kind":"click","rank":"x"}', None),
        (b'{"kind":"click","rank":"x","event_id":[]}', None),
        (b"[]", None),
    ],
)
def test_a_malformed_signal_is_named_by_its_event_id_if_that_can_be_read(raw, event_id):
    with pytest.raises(BadItem, match="malformed") as refused:
        decode(raw, LIMITS)
    assert refused.value.event_id == event_id


def ubi(action, **attributes):
    event = {"action_name": action, "query_id": "h", "timestamp": "t", "event_id": 5}
    return decode(json.dumps(event | {"event_attributes": attributes}).encode(), LIMITS)


def test_ubi_events_mean_the_signal_of_their_action():
    place = {"object": {"object_id": "c"}, "position": {"ordinal": 3}}
    assert ubi("click", **place) == Item("h", "click", "c", None, None, None, None, 5, "t")
    assert ubi("click", position={"ordinal": 3}) == Item("h", "click", None, 3, None, None, None, 5, "t")
    assert ubi("watch", **place, dwell_time=4.0).value == 4.0
    assert ubi("watch", **place, dwell_time=4.0, value=0.0).value == 0.0
    assert ubi("purchase", **place, value=9.0) == Item("h", "convert", None, None, 9.0, None, None, 5, "t")
    assert ubi("of_the_app", **place).kind == "of_the_app"
    assert decode(b'{"query_id":"h"}', LIMITS) == Item("h")


def signal(kind="click", *, target=0, chunk=None, rank=None, other=None, event_id=None):
    return SignalRecord(
        b"s" * 8, b"", event_id, kind, target, b"r" * 8, chunk, rank, None, None, other, None, 0, 0, ()
    )


@pytest.fixture
def history(tmp_path):
    def make(served=None, sources=frozenset(), remembered=20):
        runtime = SimpleNamespace(
            settings=SimpleNamespace(db=tmp_path / "none.db"),
            served=lambda target, span_id: served,
            sources_of=lambda target, span_id, chunk: set(sources),
        )
        opened.append(EventHistory(runtime, remembered=remembered))
        return opened[-1]

    opened: list[EventHistory] = []
    yield make
    for each in opened:
        each.close()


@pytest.mark.parametrize(
    ("about", "matches"),
    [
        ({"chunk": "a"}, True),
        ({"chunk": "d"}, True),
        ({"chunk": "z"}, False),
        ({"rank": 3}, True),
        ({"rank": 4}, False),
        ({"chunk": "b", "rank": 2}, True),
        ({"chunk": "b", "rank": 1}, False),
        ({"chunk": "a", "rank": 2}, False),
        ({"chunk": "d", "rank": 1}, True),
        ({}, True),
        ({"kind": "prefer", "chunk": "a", "other": "d"}, True),
        ({"kind": "prefer", "chunk": "a", "other": "z"}, False),
        ({"kind": "prefer", "chunk": "z", "other": "a"}, False),
        ({"kind": "retract", "chunk": "a", "other": "z"}, True),
    ],
)
def test_a_signal_matches_what_one_of_the_retrievals_served(history, about, matches):
    assert history([("a", "b", "c"), ("d",)]).matches(signal(**about)) is matches


@pytest.mark.parametrize("about", [{"chunk": "a"}, {"rank": 1}, {}])
def test_of_a_retrieval_that_nobody_knows_nothing_matches(history, about):
    assert not history(None).matches(signal(**about))
    assert not history([]).matches(signal(**about))


@pytest.mark.parametrize(
    ("about", "sources", "ambiguous"),
    [
        ({"target": 1, "chunk": "a"}, {"kb", "web"}, True),
        ({"target": 1, "chunk": "a"}, {"kb"}, False),
        ({"target": 1, "chunk": "a", "rank": 1}, {"kb", "web"}, False),
        ({"target": 1, "rank": 1}, {"kb", "web"}, False),
        ({"target": 0, "chunk": "a"}, {"kb", "web"}, False),
    ],
)
def test_an_id_of_several_sources_in_one_turn_is_ambiguous(history, about, sources, ambiguous):
    assert history(sources=sources).is_ambiguous(signal(**about)) is ambiguous


def test_an_event_is_new_the_same_or_another_and_the_latest_are_remembered(history):
    known = history(remembered=2)
    assert known.event(signal(event_id="e")) == "new"
    known.keep(signal(event_id="e"))
    assert known.event(signal(event_id="e")) == "same"
    assert known.event(signal(event_id="e", chunk="c")) == "other"
    known.keep(signal(event_id="f"))
    assert known.event(signal(event_id="e")) == "same"
    known.keep(signal(event_id="g"))
    assert [known.event(signal(event_id=name)) for name in "efg"] == ["new", "same", "same"]
