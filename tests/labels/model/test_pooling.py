"""Close questions lend each other evidence as far as questions that are alike close agree in this store."""

from __future__ import annotations

import random

import pytest

from ragwheel.labels import why
from ragwheel.testing import TraceStore

FOUR = [1, 2, 3, 4]


def ask(store, chance, question, chunks, right):
    """Ask once; three in four times the right chunk is cited, else any."""
    cited = right if chance.random() < 0.75 else chance.randrange(4)
    return store.ask(question, chunks, prompted=FOUR, shown=FOUR, cited=[cited + 1])


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    """Topics of four chunks each, about which two questions are asked.

    Questions with the same words mean the same. Questions with other words want another chunk.
    """
    chance, path = random.Random(7), tmp_path_factory.mktemp("topics") / "traces.db"
    with TraceStore(path) as store:
        store._run("BEGIN")
        for n in range(100):
            chunks = [f"t{n}c{place}" for place in range(4)]
            chance.shuffle(chunks)
            first, other = chance.sample(range(4), 2)
            ask(store, chance, f"reset the router of type {n}", chunks, first)
            ask(store, chance, f"type {n} router, reset of the", chunks, first)
            ask(store, chance, f"price for spare parts {n}", chunks, other)
        chunks = ["w", "x", "y", "z"]
        store.ask("reset the router of type 900", chunks, prompted=FOUR, shown=FOUR, cited=[2])
        store.ask("type 900 router, reset of the", chunks, prompted=FOUR, shown=FOUR)
        store.ask("price for spare parts 900", chunks, prompted=FOUR, shown=FOUR)
        store._run("COMMIT")
    return path


def lent(path, question, chunk):
    (verdict,) = why(path, question, chunk)
    return verdict.lent


def test_questions_with_the_same_words_lend_much_and_those_with_other_words_do_not(topics):
    same = lent(topics, "type 900 router, reset of the", "x")
    assert same > 1
    assert lent(topics, "price for spare parts 900", "x") < min(0.3, same / 4)


def test_what_was_left_out_for_one_wording_speaks_against_the_chunk_for_the_other(topics):
    assert lent(topics, "type 900 router, reset of the", "w") < 0


def test_a_store_with_few_paraphrases_knows_nothing_of_their_agreement(tmp_path):
    with TraceStore(tmp_path / "traces.db") as store:
        for question in ("reset the router", "the router: reset"):
            store.ask(question, ["w", "x", "y", "z"], prompted=FOUR, cited=[2])
    assert lent(tmp_path / "traces.db", "reset the router", "x") == 0
