"""What a signal becomes on its way through the collector."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest

import ragwheel
from ragwheel import collector
from ragwheel.errors import ConfigurationError
from ragwheel.store import open_store
from ragwheel.testing.serving import served

CONTRACT = json.loads((Path(__file__).parents[1] / "contract" / "signals.json").read_text(encoding="utf-8"))
COLUMNS = ("chunk_id", "rank", "value", "query", "other", "comment", "reason")


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


@named(CONTRACT["signals"])
def test_contract_signal_is_stored(shop, case):
    answer = shop.post({"signals": [{"handle": shop.retrieval, "event_id": "e1", **case["send"]}]})
    assert (answer.status_code, answer.json()) == (
        200,
        {"results": [{"event_id": "e1", "status": "kept", "reason": None}]},
    )
    (row,) = shop.rows("event_id, kind, subject, " + ", ".join(COLUMNS))
    assert row[:3] == ("e1", case["send"]["kind"], "u1")
    found = dict(zip(COLUMNS, row[3:]))
    assert {name: found[name] for name in case["stored"]} == case["stored"]


@named(CONTRACT["refused"])
def test_contract_signal_is_refused(shop, case):
    answer = shop.post({"handle": shop.retrieval, "event_id": "e1", **case["send"]})
    assert answer.status_code == 422
    assert answer.json()["results"] == [{"event_id": "e1", "status": "refused", "reason": case["reason"]}]
    assert shop.rows() == []
    assert ragwheel.stats().refused == {f"collector: {case['reason']}": 1}


def test_some_kept_is_207_and_order_is_that_of_the_request(shop):
    good, bad = {"kind": "click", "chunk": "c1"}, {"kind": "click"}
    answer = shop.post([{"handle": shop.turn, **fields} for fields in (bad, good, bad)])
    assert answer.status_code == 207
    assert [result["status"] for result in answer.json()["results"]] == ["refused", "kept", "refused"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain;charset=UTF-8", '{{"signals":[{item}]}}'),
        ("text/plain;charset=UTF-8", "[{item}]"),
        ("application/json", " {item} "),
        ("application/x-www-form-urlencoded", "{item}"),
        ("application/x-www-form-urlencoded;charset=UTF-8", "{form}"),
        ("application/x-www-form-urlencoded", "{wrapped}"),
        ("", "{item}"),
    ],
)
def test_bodies_that_send_beacon_sends(shop, content_type, body):
    item = json.dumps({"handle": shop.turn, "kind": "dwell", "chunk": "c2", "value": 2.5, "event_id": "e"})
    form = str(httpx.QueryParams(json.loads(item)))
    wrapped = str(httpx.QueryParams({"signals": f"[{item}]"}))
    sent = body.format(item=item, form=form, wrapped=wrapped)
    answer = shop.post(sent, headers={"Content-Type": content_type} if content_type else {})
    assert answer.json()["results"][0]["status"] == "kept"
    assert shop.rows("event_id, kind, chunk_id, value") == [("e", "dwell", "c2", 2.5)]


def test_gzip_is_unpacked(shop):
    item = {"handle": shop.turn, "kind": "click", "chunk": "c1"}
    body = gzip.compress(json.dumps({"signals": [item] * 20}).encode())
    assert shop.post(body, headers={"Content-Encoding": "gzip"}).status_code == 200
    assert shop.rows() == [("click", "c1", "u1")]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (r"half of a \ud83d smile", "half of a \ufffd smile"),
        (r"the other \uDE00", "the other \ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"a backslash \\ud83d", r"a backslash \ud83d"),
        (r"nul \u0000", "nul \ufffd"),
    ],
)
def test_texts_that_are_not_unicode_are_mended(shop, sent, stored):
    body = f'[{{"handle":"{shop.turn}","kind":"reformulate","query":"{sent}"}}]'
    assert shop.post(body).status_code == 200
    assert shop.rows("query") == [(stored,)]


@pytest.mark.parametrize(
    ("action", "attributes", "stored"),
    [
        ("click", {"object": {"object_id": "c2"}, "position": {"ordinal": 1}}, ("click", "c2", None)),
        ("view", {"object": {"object_id": "c1"}, "position": {"ordinal": 9}}, ("expand", "c1", None)),
        ("click_through", {"position": {"ordinal": 3}}, ("click", "c3", None)),
        ("impression", {"object": {"object_id": "c1"}}, ("impression", "c1", None)),
        ("dwell", {"object": {"object_id": "c1"}, "dwell_time": 4.5}, ("dwell", "c1", 4.5)),
        ("purchase", {"object": {"object_id": "c1"}}, ("convert", None, None)),
    ],
)  # fmt: skip
def test_opensearch_ubi_events(shop, action, attributes, stored):
    event = {
        "application": "shop", "action_name": action, "query_id": shop.turn, "client_id": "c",
        "user_id": "u9", "timestamp": "2018-11-13T20:20:39.123Z", "event_attributes": attributes,
    }  # fmt: skip
    assert shop.post([event, event]).status_code == 200
    assert shop.rows("kind, chunk_id, value, subject") == [(*stored, "u1")]


def test_a_chunk_that_was_not_served_is_pending_and_never_listed(shop):
    item = {"handle": shop.retrieval, "kind": "click", "chunk": "c9"}
    assert shop.results(item, {**item, "chunk": "c1", "rank": 2}) == [("pending", None), ("pending", None)]
    losing = {"handle": shop.retrieval, "kind": "prefer", "chunk": "c1", "other": "c9"}
    assert shop.results(losing) == [("pending", None)]
    assert [row for row in shop.rows() if row[0] == "click"] == []
    assert len(shop.rows("kind, reason", "unmatched_signals")) >= 2


def test_an_early_signal_is_pending_and_joins_its_retrieval(open_shop):
    shop = open_shop()
    rec = ragwheel.start_retrieval("coffee?", source="kb")
    early = {"handle": rec.handle, "kind": "click", "chunk": "beans"}
    assert shop.results(early) == [("pending", None)]
    assert shop.rows() == []
    rec.finish([{"id": "beans", "text": "B"}])
    assert shop.results(early) == [("duplicate", None)]
    assert shop.rows("kind, chunk_id") == [("click", "beans")]


def test_events_are_the_same_in_any_order(tmp_path, open_shop):
    shop = open_shop()
    now = time.time()
    old = shop.handle(now_s=now - 7200)
    events = [
        {"handle": old, "kind": "click", "chunk": "c1", "event_id": "a", "at": now - 3600},
        {"handle": old, "kind": "dwell", "chunk": "c1", "value": 3, "event_id": "b", "at": now - 10},
        {"handle": old, "kind": "dwell", "chunk": "c1", "value": 3, "event_id": "b", "at": now - 10},
        {"handle": shop.turn, "kind": "thumbs_up", "event_id": "c", "at": now + 86_400},
        {"handle": shop.turn, "kind": "thumbs_down", "event_id": "d", "at": 0},
    ]
    columns = "event_id, kind, chunk_id, rank, value, subject, flags, CASE WHEN flags IS NULL THEN at_ns END"
    seen = set()
    for n, order in enumerate(itertools.permutations(range(5))):
        if n % 12:  # ten of the hundred and twenty
            continue
        turned = [{**events[i], "event_id": f"{n}-{events[i]['event_id']}"} for i in order]
        assert shop.post(turned).status_code == 200
        rows = shop.rows(columns)
        seen.add(repr([(row[0].partition("-")[2], *row[1:]) for row in rows if row[0].startswith(f"{n}-")]))
    assert len(seen) == 1
    (found,) = seen
    assert found.count("clock") == 2


def test_a_wrong_clock_is_replaced_and_flagged(shop):
    before = time.time_ns()
    ten_minutes_slow = time.time() - 600  # before the handle was given out
    for at in (time.time() + 3600, 12, "2031-01-01T00:00:00Z", ten_minutes_slow):
        shop.post({"handle": shop.turn, "kind": "thumbs_up", "at": at})
    for row in shop.rows("at_ns, received_ns, flags"):
        assert row[0] == row[1] >= before
        assert row[2] == '["clock"]'


def test_times_are_taken_as_seconds_and_as_iso_8601(shop):
    moment = datetime.now(timezone.utc).replace(microsecond=250_000) - timedelta(hours=1)
    for at in (moment.timestamp(), moment.isoformat(), moment.isoformat().replace("+00:00", "Z")):
        shop.post(
            {
                "handle": shop.handle(now_s=time.time() - 7200),
                "kind": "thumbs_up",
                "event_id": f"e{at}",
                "at": at,
            }
        )
    expected = int(moment.timestamp() * 1e9)
    assert [abs(row[0] - expected) < 2000 for row in shop.rows("at_ns")] == [True] * 3
    assert shop.results(
        {"handle": shop.handle(now_s=time.time() - 7200), "kind": "thumbs_up", "at": "noon"}
    ) == [("refused", "time out of range")]


def test_a_thousand_replays_are_one_row(open_shop):
    shop = open_shop(limits=collector.RequestLimits(subject_per_s=0))
    item = {"handle": shop.retrieval, "kind": "click", "chunk": "c1", "event_id": "once"}
    unnamed = {"handle": shop.retrieval, "kind": "copy", "chunk": "c1"}
    statuses = [status for _ in range(4) for status, _ in shop.results(*[item] * 250, *[unnamed] * 250)]
    assert (statuses.count("kept"), statuses.count("duplicate")) == (2, 1998)
    assert shop.rows("kind, chunk_id") == [("click", "c1"), ("copy", "c1")]


def test_replays_after_a_restart_are_duplicates(tmp_path, open_shop):
    first = open_shop()
    item = {"handle": first.retrieval, "kind": "click", "chunk": "c1", "event_id": "once"}
    assert first.results(item) == [("kept", None)]
    ragwheel.flush()
    again = open_shop()
    assert again.results(item, {**item, "chunk": "c2"}) == [
        ("duplicate", None),
        ("refused", "event_id of another signal"),
    ]
    assert again.rows("kind, chunk_id") == [("click", "c1")]


def test_a_collector_of_its_own_knows_what_another_process_served(open_shop, tmp_path):
    shop = open_shop()
    ragwheel.shutdown()
    ragwheel.configure(shop.db, app="shop", signing_keys=shop_keys())
    item = {"handle": shop.turn, "kind": "click", "chunk": "c1"}
    assert shop.results(item, {**item, "chunk": "c9"}, {**item, "chunk": "c3"}) == [
        ("kept", None), ("pending", None), ("kept", None),
    ]  # fmt: skip


def shop_keys():
    return ("k1:" + "5a" * 32,)


def test_texts_are_redacted_and_a_replay_is_still_known(open_shop):
    shop = open_shop()
    ragwheel.configure(
        shop.db, app="shop", signing_keys=shop_keys(), redact=lambda text: text.replace("555-1234", "*")
    )
    item = {"handle": shop.turn, "kind": "reformulate", "query": "call 555-1234", "event_id": "e"}
    assert shop.results(item, item) == [("kept", None), ("duplicate", None)]
    assert shop.rows("kind, query") == [("reformulate", "call *")]


@pytest.mark.parametrize(
    ("agent", "flags"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", '["bot"]'),
        ("", '["bot"]'),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", None),
        ("ragwheel-client/1.2.3", None),
    ],
)
def test_robots_are_flagged_and_kept(shop, agent, flags):
    item = {"handle": shop.turn, "kind": "click", "chunk": "c1"}
    assert shop.post(item, headers={"User-Agent": agent}).status_code == 200
    assert shop.rows("kind, flags") == [("click", flags)]


def test_mounted_in_another_app(tmp_path):
    from starlette.applications import Starlette

    ragwheel.configure(tmp_path / "app.db", signing_keys=shop_keys())
    host = Starlette()
    host.mount("/ragwheel", collector.app())
    with ragwheel.turn("q") as turn:
        pass
    with served(host) as url:
        item = {"handle": turn.handle, "kind": "thumbs_up"}
        assert httpx.post(f"{url}/ragwheel/v1/signals", json=item).status_code == 200


def test_its_own_database_beside_the_apps(tmp_path):
    ragwheel.configure(tmp_path / "app.db", signing_keys=shop_keys())
    with ragwheel.turn("q") as turn:
        pass
    with served(collector.app(tmp_path / "two.db", signing_keys=shop_keys())) as url:
        item = {"handle": turn.handle, "kind": "thumbs_up"}
        assert httpx.post(f"{url}/v1/signals", json=item).status_code == 200
    assert ragwheel.stats().emitted == 1
    connection = open_store(tmp_path / "two.db")
    assert connection.execute("SELECT kind FROM unmatched_signals").fetchall() == [("thumbs_up",)]
    connection.close()


def test_nothing_could_be_accepted_without_keys(tmp_path):
    with pytest.raises(ConfigurationError, match="RAGWHEEL_SIGNING_KEYS"):
        collector.app(tmp_path / "app.db")


@pytest.mark.parametrize(
    "origin", ["*", "null", "shop.example", "https://shop.example/", "https://*.example"]
)
def test_origins_are_exact(tmp_path, origin):
    with pytest.raises(ConfigurationError, match="exact"):
        collector.app(tmp_path / "app.db", trust_local=True, origins=[origin])


@pytest.mark.parametrize("wrong", [{"items": 0}, {"body_timeout_s": 0.0}, {"subject_per_s": -1.0}])
def test_limits_that_let_nothing_pass_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        collector.RequestLimits(**wrong)


def test_a_vote_is_taken_back_by_its_event_and_by_nobody_else(shop):
    vote = {"handle": shop.turn, "kind": "thumbs_up", "event_id": "vote"}
    stranger = {"handle": shop.handle(subject="u2"), "kind": "retract", "other": "vote", "event_id": "r1"}
    assert shop.results(vote, stranger) == [("kept", None), ("kept", None)]
    assert shop.rows("event_id") == [("vote",)]
    assert shop.results({**stranger, "handle": shop.turn, "event_id": "r2"}) == [("kept", None)]
    assert shop.rows("event_id") == []
    assert shop.rows("event_id", "retracted_signals") == [("vote",)]


def test_whoever_holds_a_signed_handle_without_a_subject_names_none(shop):
    item = {"handle": shop.handle(subject=None), "kind": "click", "chunk": "c1", "subject": "somebody else"}
    assert shop.results(item) == [("kept", None)]
    assert shop.rows("kind, subject", "_signal") == [("click", None)]


def test_the_same_act_at_two_times_is_two_events_and_a_repeated_request_is_one(shop):
    now = time.time()
    first, second = (
        {"handle": shop.turn, "kind": "copy", "chunk": "c1", "at": now - ago} for ago in (20, 10)
    )
    for item in (first, second, first):
        shop.results(item)
    assert shop.rows("kind, chunk_id") == [("copy", "c1")] * 2


def test_nothing_happens_after_it_arrived(shop):
    ahead = time.time() + 1.5  # a clock that is slightly off
    assert shop.results({"handle": shop.turn, "kind": "click", "chunk": "c1", "at": ahead}) == [
        ("kept", None)
    ]
    ((at_ns, received_ns),) = shop.rows("at_ns, received_ns", "_signal")
    assert at_ns <= received_ns
