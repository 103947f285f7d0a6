"""What an app may capture that lacks something: ids, texts, queries; and questions in any script."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

import ragwheel
from ragwheel.datasets import BuildOptions, build

PASSAGES = {
    "reset": "To reset a password, open Settings, then Security.",
    "length": "Twelve characters or more are what every login needs.",
    "billing": "Invoices go out on the first day of each month.",
}
ALL = BuildOptions(dev=0, test=0)


@pytest.fixture
def answered(tmp_path):
    """Ask through a real retriever that gives ``items``: the first is cited, the last deleted by rank."""
    path = tmp_path / "app.db"
    ragwheel.configure(path)

    def ask(query, items):
        @ragwheel.retriever(source="kb")
        def search(_query):
            return items

        with ragwheel.turn(query, user_id="u1") as turn:
            search(query)
            turn.answer("Open Settings [1].")
        assert ragwheel.signal(turn.retrievals[-1].handle, "delete", rank=len(items))
        return path

    yield ask
    ragwheel.shutdown()


def pairs(report):
    rows = pq.read_table(report.out / "pairs" / "train.parquet").to_pylist()
    return {row["document"]: row["label"] for row in rows}


@pytest.mark.parametrize("shape", ["strings", "no id", "id of None"])
def test_chunks_without_ids_are_known_by_their_texts(answered, tmp_path, shape):
    make = {
        "strings": lambda text: text,
        "no id": lambda text: {"text": text},
        "id of None": lambda text: {"id": None, "text": text},
    }[shape]
    chunks = [make(text) for text in PASSAGES.values()]
    answered("How do I reset my password?", chunks)
    db = answered("password reset, how?", chunks)  # the same chunks again
    report = build(db, tmp_path / "out", options=ALL)
    found = pairs(report)
    assert found[PASSAGES["reset"]] > 0.7
    assert found[PASSAGES["billing"]] < 0.2
    ids = pq.read_table(report.out / "provenance.parquet")["chunk_id"].to_pylist()
    assert all(ids)
    assert len(set(ids)) == 2, "one id per text, in every ranking the same"


def test_chunks_of_one_id_are_versions_by_their_texts(answered, tmp_path):
    items = [{"id": "same", "text": text} for text in PASSAGES.values()]
    report = build(answered("How do I reset my password?", items), tmp_path / "out", options=ALL)
    origin = pq.read_table(report.out / "provenance.parquet").to_pylist()
    assert {row["chunk_id"] for row in origin} == {"same"}
    assert len({row["chunk_version"] for row in origin}) == len(pairs(report))


EMPTY = [{"id": "a"}, {"id": "a", "text": ""}, {"id": "a", "text": None}]


@pytest.mark.parametrize("empty", EMPTY, ids=json.dumps)
def test_a_cited_chunk_without_text_is_counted_and_makes_no_row(answered, tmp_path, empty):
    whole = [{"id": name, "text": text} for name, text in PASSAGES.items()]
    answered("How long must it be?", [empty, *whole])
    report = build(answered("How do I reset my password?", whole), tmp_path / "out", options=ALL)
    assert "" not in pairs(report)
    assert pairs(report)[PASSAGES["reset"]] > 0.7
    assert report.dropped["chunk: it has no text"] == 1


QUESTIONS = {
    "Arabic": ("كَيْفَ أُعِيدُ تَعْيِينَ كَلِمَةِ المُرُورِ؟", "مَتَى تُرْسَلُ الفَوَاتِيرُ؟"),
    "Chinese": ("如何重置我的登录密码？", "发票什么时候寄出？"),
    "Thai": ("ฉันจะตั้งรหัสผ่านใหม่ได้อย่างไร", "ใบแจ้งหนี้ส่งเมื่อไหร่"),
    "Hindi": ("मैं अपना पासवर्ड कैसे बदलूँ?", "बिल कब भेजे जाते हैं?"),
    "emoji": ("🔑❓", "🧾📅"),
}


@pytest.mark.parametrize("script", QUESTIONS)
def test_questions_of_any_script_are_split_like_any(store, tmp_path, script):
    """Near-identical wordings are one family and stay together; other needs are their own."""
    first, second = QUESTIONS[script]
    for n in range(6):
        for number, question in enumerate((first, second)):
            ranked = [f"a{number}", f"b{number}"]
            store.ask(question + ("" if n else "!"), ranked, prompted=[1, 2], cited=[1], user_id=f"u{n}")
    for n in range(10):
        words = " ".join(f"other{n}{letter}" for letter in "abcd")
        store.ask(words, [f"x{n}"], cited=[1])
    report = build(store.path, tmp_path / "out")
    rows = pq.read_table(report.out / "splits.parquet").to_pylist()
    assert len(rows) == len({row["family"] for row in rows}) == 12
    assert sum(report.groups.values()) == 12
