"""The review page over HTTP: who is let in, what is taken, what is answered when something is wrong."""

from __future__ import annotations

import contextlib
import os
import time

import httpx
import pytest

from ragwheel.review.access import ReviewAccess


def event(card, **fields):
    row = {name: card[name] for name in ("query", "source", "chunk", "hash")}
    return {
        **row,
        "id": "e1",
        "rater": "ann",
        "action": "grade",
        "grade": 4,
        "at": time.time() * 1000,
        **fields,
    }


def say(client, *events):
    return client.post("/api/say", json={"rater": "ann", "events": list(events)})


@pytest.fixture
def server(serve, db):
    started = serve(db)
    started.cards = started.ready()["cards"]
    return started


def test_without_the_token_nothing_is_shown(server):
    with server.client(signed_in=False) as client:
        assert client.get("/grade").status_code == 401
        assert client.get("/grade?token=wrong").status_code == 401
        assert client.get("/text?version=1").status_code == 401
        assert client.post("/api/next", json={"rater": "ann", "held": [], "n": 1}).status_code == 401


def test_the_token_leaves_the_address_and_the_cookie_is_for_this_server_alone(server):
    with server.client(signed_in=False) as client:
        answer = client.get(server.address)
        assert answer.status_code == 303
        assert "token" not in answer.headers["location"]
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie


def test_other_names_and_other_pages_are_refused(server):
    with server.client() as client:
        assert client.get("/grade?as=ann").status_code == 200
        assert client.get("/grade?as=ann", headers={"host": "evil.example"}).status_code == 403
        body = {"rater": "ann", "held": [], "n": 1}
        for origin in ("http://evil.example", "null", ""):
            assert client.post("/api/next", json=body, headers={"origin": origin}).status_code == 403


def test_every_answer_forbids_scripts_and_requests_from_elsewhere(server):
    with server.client() as client:
        for path in ("/grade?as=ann", "/static/review.css", "/nowhere", "/text?version=1"):
            policy = client.get(path).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy


def test_the_same_event_twice_is_one_judgment_and_a_late_one_changes_nothing(server, make):
    with server.client() as client:
        now = time.time() * 1000
        for _ in range(2):
            assert say(client, event(server.cards[0], at=now)).json()["results"] == {"e1": "saved"}
        say(client, event(server.cards[0], id="e0", grade=1, at=now - 5000))
        assert [row[2] for row in make.judgments(server.db)] == [4.0]
        say(client, event(server.cards[0], id="u", action="undo", at=now - 5000))
        assert len(make.judgments(server.db)) == 1
        say(client, event(server.cards[0], id="u", action="undo", at=now + 1))
        assert make.judgments(server.db) == []


def test_a_clock_that_is_ahead_does_not_win_over_what_is_said_later(server, make):
    with server.client() as client:
        say(client, event(server.cards[0], grade=1, at=(time.time() + 86_400) * 1000))
        say(client, event(server.cards[0], id="e2", grade=5))
        assert [row[2] for row in make.judgments(server.db)] == [5.0]


def test_cannot_tell_after_a_grade_replaces_it(server, make):
    with server.client() as client:
        say(client, event(server.cards[0]))
        say(client, event(server.cards[0], id="e2", action="cannot_tell", grade=None))
        assert make.judgments(server.db) == []
        assert [row[:2] for row in make.reviews(server.db)] == [("cannot_tell", "ann")]


WRONG = [
    {"grade": 6}, {"grade": True}, {"grade": None}, {"grade": "5"}, {"action": "drop"}, {"query": " "},
    {"rater": ""}, {"at": -1}, {"at": "now"}, {"hash": "zz"}, {"note": "x" * 20_000}, {"chunk": None},
]  # fmt: skip


def test_bad_events_are_refused_each_with_its_reason_and_the_others_are_kept(server, make):
    with server.client() as client:
        bad = [event(server.cards[0], id=f"bad{n}", **wrong) for n, wrong in enumerate(WRONG)]
        results = say(client, *bad, event(server.cards[1], id="good")).json()["results"]
        assert results.pop("good") == "saved"
        assert len(results) == len(WRONG)
        assert all(result.startswith("refused: ") for result in results.values()), results
        assert len(make.judgments(server.db)) == 1


def test_what_is_no_request_is_answered_with_400(server):
    with server.client() as client:
        for body in (b"", b"[]", b"{", b'{"events": 1}', b'{"events": [1]}', b'{"events": [{}]}'):
            assert client.post("/api/say", content=body).status_code == 400
            assert client.post("/api/next", content=body).status_code == 400


def test_a_body_without_end_is_cut_off(server):
    with server.client() as client:
        with contextlib.suppress(httpx.TransportError):  # it may be closed before all of it was sent
            assert client.post("/api/say", content=b" " * 5_000_000).status_code == 413
        assert client.get("/grade?as=ann").status_code == 200


def test_the_guideline_is_kept_and_two_editors_do_not_overwrite_each_other(server):
    with server.client() as client:
        first = client.post(
            "/api/guideline", json={"rater": "ann", "text": "<b>5 = all</b>", "base": "0"}
        ).json()
        late = client.post("/api/guideline", json={"rater": "bob", "text": "mine", "base": "0"}).json()
        assert late["conflict"] == "<b>5 = all</b>"
        client.post("/api/guideline", json={"rater": "bob", "text": "mine", "base": first["base"]})
        assert "mine</pre>" in client.get("/grade?as=ann").text


def test_a_read_only_database_can_be_looked_at_and_says_why_nothing_is_kept(serve, db, make):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere: run it as another user")
    server = serve(db)
    cards = server.ready()["cards"]
    db.chmod(0o400)
    db.parent.chmod(0o500)
    try:
        with server.client() as client:
            answer = say(client, event(cards[0]))
            assert answer.status_code == 503
            assert "written" in answer.json()["error"]
    finally:
        db.parent.chmod(0o700)


def test_an_empty_store_says_so(serve, tmp_path, make):
    db = make.fill(tmp_path / "none.db", questions=0)
    server = serve(db)
    with server.client() as client:
        body = {"rater": "ann", "held": [], "n": 5}
        found = make.eventually(lambda: (r := client.post("/api/next", json=body).json())["problem"] and r)
        assert found["cards"] == []
        assert "no retrieval yet" in found["problem"]


def test_another_host_needs_keys_and_a_password(ragwheel, db):
    done = ragwheel("review", "--db", db, "--host", "0.0.0.0", env={"RAGWHEEL_SIGNING_KEYS": ""})
    assert done.returncode == 1
    assert "RAGWHEEL_SIGNING_KEYS" in done.stderr
    keys = {"RAGWHEEL_SIGNING_KEYS": "k:" + "5a" * 32}
    done = ragwheel("review", "--db", db, "--host", "0.0.0.0", env=keys)
    assert "RAGWHEEL_REVIEW_PASSWORD" in done.stderr
    done = ragwheel(
        "review", "--db", db, "--host", "0.0.0.0", env={**keys, "RAGWHEEL_REVIEW_PASSWORD": "short"}
    )
    assert "10 or more" in done.stderr


def test_a_password_lets_in_and_is_not_guessed(serve, db):
    env = {"RAGWHEEL_SIGNING_KEYS": "k:" + "5a" * 32, "RAGWHEEL_REVIEW_PASSWORD": "correct horse"}
    server = serve(db, "--host", "0.0.0.0", env=env, process=True)
    with httpx.Client(base_url=server.url, headers={"origin": server.url}) as client:
        assert "token" not in server.address
        assert client.get("/grade?as=ann").headers["location"].startswith("/login")
        for _ in range(5):
            assert client.post("/login?to=/grade", data={"password": "wrong"}).status_code == 403
        assert client.post("/login?to=/grade", data={"password": "correct horse"}).status_code == 429


def test_access_signs_with_secret_and_password():
    first, second = ReviewAccess(b"a", "one password"), ReviewAccess(b"a", "another one")
    assert first.is_cookie(first.cookie())
    assert not second.is_cookie(first.cookie())
    assert not first.is_cookie(None)
    assert not first.is_cookie("9" * 5000)
    assert not first.is_cookie("99999999999.0")
    assert not first.is_token(first.token)
    assert first.is_password("one password", "1.2.3.4")
    assert not first.is_password("one passwörd", "1.2.3.4")
