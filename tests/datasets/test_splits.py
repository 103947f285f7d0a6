"""Splits by time, the same again in later builds, and nothing shared that must not be."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.datasets import BuildOptions, build
from ragwheel.datasets.grading import check_sessions
from ragwheel.datasets.query_splits import NONE, QuerySplits, codes_of
from ragwheel.datasets.splits import MIN_FAMILIES, Group, QueryGroups, assign, check_groups
from ragwheel.errors import DatasetError, LeakError
from ragwheel.labels.engines.engine import DuckDBEngine
from ragwheel.labels.evidence.collect import collect
from ragwheel.labels.policy import load_policy
from ragwheel.labels.traces.exposure import facts
from ragwheel.labels.traces.read import TextReader, read_store
from ragwheel.labels.traces.text import query_key
from ragwheel.store import open_store


def splits_of(out):
    table = pq.read_table(out / "splits.parquet").to_pylist()
    return {row["query_key"]: row["split"] for row in table}


def groups(n, family=None):
    return [Group(f"k{i:02}", family or f"k{i:02}", f"text {i}", i) for i in range(n)]


def cut(some, previous=None):
    dropped: Counter[str] = Counter()
    columns = QueryGroups.of(some)
    codes = assign(columns, dev=0.1, test=0.2, previous=previous or {}, dropped=dropped)
    left_in = codes != NONE
    return dict(QuerySplits.of(columns.keys[left_in], codes[left_in])), dropped


def check(some, splits, previous):
    columns = QueryGroups.of(some)
    check_groups(columns, codes_of(splits, columns.keys), previous)


def test_the_newest_families_are_test_and_those_before_them_dev():
    found, _ = cut(groups(20))
    assert [found[f"k{i:02}"] for i in range(20)] == ["train"] * 14 + ["dev"] * 2 + ["test"] * 4


def test_a_family_is_as_old_as_its_first_question():
    some = [*groups(20), Group("late", "k00", "text 0 again", 99), Group("old", "k19", "text 19 before", -1)]
    found, _ = cut(some)
    assert (found["k00"], found["late"]) == ("train", "train")
    assert (found["k19"], found["old"]) == ("train", "train")
    assert Counter(found.values())["test"] == 4


@pytest.mark.parametrize("steps", [(10, 11, 12), (12, 30, 31), (15, 20, 60)])
@pytest.mark.parametrize("joining", [False, True], ids=["new families", "families that grow"])
def test_whatever_a_store_grows_by_nothing_trained_on_is_tested(steps, joining):
    """Splits of one build are those of every later one, and no family is on two sides."""
    before: dict[str, str] = {}
    for n in steps:
        some = groups(n)
        if joining:
            some += [Group(f"j{i:02}", f"k{i // 2:02}", f"joined {i}", 1000 + i) for i in range(n)]
        found, _ = cut(some, before)
        assert {key: found[key] for key in before if key in found} == before
        sides: dict[str, set[str]] = {}
        for group in some:
            if group.key in found:
                sides.setdefault(group.family, set()).add(found[group.key])
        assert max(map(len, sides.values())) == 1
        before = dict(found)


@st.composite
def growing(draw):
    """A store that grows: groups and their families, some joined by what comes later."""
    families = draw(st.lists(st.integers(0, 25), min_size=1, max_size=60))
    first_ns = draw(st.permutations(range(len(families))))
    steps = sorted(draw(st.sets(st.integers(1, len(families)), min_size=1, max_size=4)) | {len(families)})
    builds = []
    for n in steps:
        joined = draw(st.dictionaries(st.integers(0, 25), st.integers(0, 25), max_size=3))
        families = [joined.get(family, family) for family in families]
        builds.append([Group(f"k{i:02}", f"f{families[i]}", f"text {i}", first_ns[i]) for i in range(n)])
    return builds


@given(growing())
def test_however_a_store_grows_a_group_keeps_its_split_and_no_family_has_two(builds):
    """A group stays where it was or, when a later question joins its family to one of train, is left out."""
    ever: dict[str, str] = {}
    for some in builds:
        now, dropped = cut(some, ever)
        assert {key: split for key, split in now.items() if ever.get(key, split) != split} == {}
        assert {group.key for group in some} - set(now) <= set(ever)
        assert dropped.total() == len(some) - len(now)
        check(some, now, ever)
        ever |= now


def test_few_families_are_all_train():
    assert set(cut(groups(MIN_FAMILIES - 1))[0].values()) == {"train"}
    assert set(cut(groups(MIN_FAMILIES))[0].values()) == {"train", "dev", "test"}


def test_assigned_groups_stay_and_new_ones_fill_up_the_shares():
    before = dict.fromkeys((f"k{i:02}" for i in range(9)), "train")
    found, _ = cut(groups(20), before)
    assert {found[key] for key in before} == {"train"}
    assert Counter(found.values()) == {"train": 14, "dev": 2, "test": 4}
    again, _ = cut(groups(25), found)
    assert {key: again[key] for key in found} == found
    assert Counter(again.values())["test"] == 5


def test_a_family_follows_its_assigned_member_and_train_wins():
    family = groups(3, family="k00")
    found, _ = cut(family, {"k01": "test"})
    assert found == {"k00": "test", "k01": "test", "k02": "test"}
    found, dropped = cut(family, {"k00": "test", "k01": "train"})
    assert found == {"k01": "train", "k02": "train"}
    assert dropped == {"query group: near-identical to one of another split": 1}


def test_a_leak_between_groups_fails_the_build():
    two = groups(2, family="k00")
    with pytest.raises(LeakError, match="near-identical one in train"):
        check(two, {"k00": "train", "k01": "test"}, {})
    with pytest.raises(LeakError, match="was trained on and is now in test"):
        check(two, {"k00": "test"}, {"k00": "train"})
    check(two, {"k00": "test", "k01": "test"}, {"k00": "test"})


def test_later_builds_keep_every_split(store, ask_many, tmp_path):
    out = tmp_path / "out"
    ask_many(12)
    build(store.path, out)
    first = splits_of(out)
    ask_many(12, "later")
    report = build(store.path, out)
    second = splits_of(out)
    assert {key: second[key] for key in first} == first
    assert len(second) == 24
    assert report.sticky_from == out
    assert Counter(second.values())["test"] == 2
    elsewhere = build(store.path, tmp_path / "elsewhere", options=BuildOptions(sticky_from=out))
    assert splits_of(elsewhere.out) == second
    assert splits_of(build(store.path, tmp_path / "fresh").out) != second


def test_groups_that_lost_their_rows_are_remembered(store, ask_many, tmp_path):
    out = tmp_path / "out"
    (query, *_) = ask_many(12)
    build(store.path, out)
    asked = store.ask(query, ["question0-x", "question0-y", "question0-z"], shown=[1, 2, 3])
    for chunk, kind in (("x", "delete"), ("y", "thumbs_up"), ("z", "thumbs_up")):
        store.signal(asked, kind, f"question0-{chunk}")
    build(store.path, out)
    assert splits_of(out)[query_key(query)] == "train"


def test_a_broken_assignment_is_no_reason_to_forget_it(traces, tmp_path):
    build(traces, tmp_path / "out")
    (tmp_path / "out" / "splits.parquet").write_bytes(b"broken")
    with pytest.raises(DatasetError, match="splits of an earlier build are needed"):
        build(traces, tmp_path / "out")
    with pytest.raises(DatasetError, match="splits of an earlier build are needed"):
        build(traces, tmp_path / "new", options=BuildOptions(sticky_from=tmp_path / "nowhere"))


def test_near_identical_queries_share_a_split(store, ask_many, tmp_path):
    ask_many(20)
    words = " ".join(f"word{n}" for n in range(10))
    for person in range(6):  # b: prompted and never cited, so a negative here, and a positive for the other
        store.ask(words, ["a", "b"], cited=[1], prompted=[1, 2], user_id=f"u{person}")
    ask_many(3, "later")
    store.ask(f"{words} please", ["b", "c"], cited=[1], prompted=[1, 2])
    report = build(store.path, tmp_path / "out")
    found = {row["query_key"]: row for row in pq.read_table(report.out / "splits.parquet").to_pylist()}
    one, other = found[query_key(words)], found[query_key(f"{words} please")]
    assert (one["split"], one["family"]) == (other["split"], other["family"])
    assert report.dropped["negative: known positive for this or a near-identical query"] == 1


def test_sessions_of_test_queries_say_nothing_about_train(store, ask_many, tmp_path):
    (query, *_) = ask_many(12)
    asked = store.ask(query, ["question0-x", "only-here"], cited=[1, 2], prompted=[1, 2], session_id="shared")
    store.signal(asked, "thumbs_up", "only-here")
    store.ask("the newest of all questions", ["a", "b"], cited=[1], prompted=[1, 2], session_id="shared")
    report = build(store.path, tmp_path / "out")
    assert splits_of(report.out)[query_key("the newest of all questions")] == "test"
    assert report.dropped["evidence: of train, from a session that a test query belongs to"] == 3
    assert report.dropped["graded pair: of train, only from such a session"] == 1
    texts = pq.read_table(report.out / "pairs" / "train.parquet")["document"].to_pylist()
    assert not any("only-here" in text for text in texts)


def test_a_shared_session_fails_the_build(store):
    store.ask("trained on", ["a"], cited=[1], session_id="shared")
    store.ask("tested", ["b"], cited=[1], session_id="shared")
    keys = [query_key("trained on"), query_key("tested")]
    with closing(open_store(store.path)) as connection, DuckDBEngine(threads=1) as engine:
        known = facts(engine, read_store(connection), TextReader(connection))
        evidence = collect(known, load_policy())
        assigned = engine.register("some", pa.table({"query_key": keys, "split": ["train", "test"]}))
        with pytest.raises(LeakError, match="1 rows of evidence for train"):
            check_sessions(known, evidence, assigned)


def test_no_test_session_in_generated_traffic(traces, built):
    with closing(open_store(traces)) as connection:
        sessions = dict(connection.execute("SELECT retrieval_id, session_id FROM retrievals").fetchall())
        asked = connection.execute("SELECT query, session_id FROM retrievals").fetchall()
    splits = splits_of(built.out)
    tested = {session for query, session in asked if splits.get(query_key(query)) == "test"}
    rows = pq.read_table(built.out / "provenance.parquet").to_pylist()
    used = {sessions[span] for row in rows if row["split"] == "train" for span in row["retrieval_ids"]}
    assert tested
    assert not used & tested
    assert built.dropped["evidence: of train, from a session that a test query belongs to"] > 0


def test_one_endless_session_is_a_result_and_no_crash(store, ask_many, tmp_path):
    ask_many(12, session_id="forever")
    started = time.monotonic()
    report = build(store.path, tmp_path / "out")
    assert report.rows["pairs"]["train"] == 0
    assert report.rows["pairs"]["test"] > 0
    assert time.monotonic() - started < 60
