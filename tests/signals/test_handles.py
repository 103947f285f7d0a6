"""Handles: short, URL-safe, refused when anything about them is not as it was made."""

from __future__ import annotations

import base64
import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel import handles
from ragwheel.handles import BadHandle, Target, make, parse

OLD, NEW = "old:" + "ab" * 32, "new-1:" + "cd" * 16
SPAN, TRACE = bytes(range(8)), bytes(range(16))
URL_SAFE = set(string.ascii_letters + string.digits + "-_.~")

targets = st.builds(
    Target,
    st.sampled_from([handles.RETRIEVAL, handles.TURN]),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=16, max_size=16),
    st.none() | st.text(min_size=1, max_size=60),
    st.text(max_size=60),
)


def encodable(target):
    clean = {name: (text or "").encode(errors="replace").decode() for name, text in target._asdict().items()
             if name in {"subject", "app"}}  # fmt: skip
    return target._replace(subject=clean["subject"] or None, app=clean["app"], signed=True)


@given(targets)
def test_signed_round_trip(target):
    text = make(target, [NEW, OLD], now_s=2_000_000_000)
    assert set(text) <= URL_SAFE
    assert parse(text, [OLD, NEW], now_s=2_000_000_001) == encodable(target)._replace(issued_s=2_000_000_000)


@given(targets)
def test_unsigned_round_trip_carries_no_subject(target):
    text = make(target, [])
    assert len(text) == 44
    assert set(text) <= URL_SAFE
    assert parse(text) == Target(target.kind, target.span_id, target.trace_id)


@pytest.mark.parametrize("keys", [[], [NEW]], ids=["unsigned", "signed"])
def test_any_changed_character_is_refused(keys):
    text = make(Target(handles.TURN, SPAN, TRACE, "someone", "shop"), keys)
    for at in range(len(text)):
        for other in string.ascii_letters + string.digits + "-_.":
            if other != text[at]:
                with pytest.raises(BadHandle):
                    parse(text[:at] + other + text[at + 1 :], keys)
        with pytest.raises(BadHandle):
            parse(text[:at] + text[at + 1 :], keys)
        with pytest.raises(BadHandle):
            parse(text[:at], keys)


def bytes_replaced(raw, changes):
    """The bytes with some put in place of others, taken out or put in."""
    for at, byte, how in changes:
        at %= len(raw) + 1
        raw = raw[:at] + (b"" if how == "out" else bytes([byte])) + raw[at + (how != "in") :]
    return raw


changes = st.lists(
    st.tuples(st.integers(0, 800), st.integers(0, 255), st.sampled_from(["replace", "out", "in"])),
    min_size=1, max_size=4,
)  # fmt: skip


@given(targets, st.booleans(), changes)
def test_whatever_bytes_are_changed_a_handle_names_its_target_or_nothing(target, signed, changes):
    keys = [NEW, OLD] if signed else []
    text = make(target, keys)
    other = bytes_replaced(text.encode(), changes).decode("latin-1")
    if other == text:
        assert parse(other, keys) == parse(text, keys)
    else:
        with pytest.raises(BadHandle):
            parse(other, keys)


@given(targets, st.integers(0, 3), changes)
def test_whatever_bytes_are_changed_below_the_base64_the_signature_is_bad(target, at, changes):
    parts = make(target, [NEW]).split(".")
    raw = base64.urlsafe_b64decode(parts[at] + "=" * (-len(parts[at]) % 4)) if at > 1 else parts[at].encode()
    other = bytes_replaced(raw, changes)
    if other != raw:
        spelled = base64.urlsafe_b64encode(other).rstrip(b"=") if at > 1 else other
        parts[at] = spelled.decode("latin-1")
        with pytest.raises(BadHandle):
            parse(".".join(parts), [NEW, OLD])


@given(st.text(max_size=900) | st.from_regex(r"[us]1\.[\w.-]*", fullmatch=True))
def test_whatever_text_comes_it_is_refused_for_one_of_the_reasons(text):
    reasons = "^(malformed|unknown key|bad signature|not signed)$"
    for keys in ([], [NEW]):
        with pytest.raises(BadHandle, match=reasons):
            parse(text, keys, require_signed=bool(keys))
    with contextlib.suppress(BadHandle):
        handles.peek(text)


@pytest.mark.parametrize(
    "junk", ["", ".", "u1", "u1..", "s1...", "s1.a.b.c", "x" * 5000, None, 7, b"u1", "ü", "\0"]
)
def test_junk_is_refused(junk):
    for keys in ([], [NEW]):
        with pytest.raises(BadHandle):
            parse(junk, keys)


def test_lengths_as_documented():
    longest = "k" * 16 + ":" + "ab" * 64
    assert len(make(Target(0, SPAN, TRACE), [])) == 44
    assert len(make(Target(0, SPAN, TRACE), ["a:" + "ab" * 16])) == 69 + 1
    most = make(Target(0, SPAN, TRACE, "s" * 255, "a" * 255), [longest])
    assert len(most) == 765 <= handles.MAX_CHARS
    assert parse(most, [longest]).subject == "s" * 255


def test_rotation():
    text = make(Target(handles.RETRIEVAL, SPAN, TRACE), [OLD])
    assert text.startswith("s1.old.")
    assert parse(text, [NEW, OLD]).span_id == SPAN
    with pytest.raises(BadHandle, match="unknown key"):
        parse(text, [NEW])
    with pytest.raises(BadHandle, match="bad signature"):
        parse(text, ["old:" + "ef" * 32])
    assert parse(text, ["old:" + "ef" * 32, OLD]).span_id == SPAN  # two secrets under one id


def test_expiry():
    text = make(Target(handles.TURN, SPAN, TRACE), [NEW], now_s=1000, lifetime_s=60)
    assert parse(text, [NEW], now_s=1060).signed
    with pytest.raises(BadHandle, match="expired"):
        parse(text, [NEW], now_s=1061)


def test_an_unsigned_one_where_signed_ones_are_asked_for():
    text = make(Target(handles.TURN, SPAN, TRACE), [])
    with pytest.raises(BadHandle, match="not signed"):
        parse(text, [NEW], require_signed=True)
    with pytest.raises(BadHandle):
        parse("u1." + base64.urlsafe_b64encode(b"r" * 25).decode(), [])


def test_two_long_names_never_become_the_same():
    one, two = ("x" * 300 + end for end in "ab")
    subjects = {parse(make(Target(1, SPAN, TRACE, name), [NEW]), [NEW]).subject for name in (one, two)}
    assert len(subjects) == 2
    assert all(subject.startswith("sha256:") for subject in subjects)
