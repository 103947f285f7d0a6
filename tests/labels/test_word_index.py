"""The inverted index names the texts that have a word, in memory and from a file."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ragwheel.labels.negatives import word_index
from ragwheel.labels.negatives.word_index import WordIndex


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_postings_are_the_texts_that_have_the_word(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(word_index, "_TEXTS", at_once)
    rng = random.Random(at_once)
    texts = [frozenset(f"w{rng.randrange(30)}" for _ in range(rng.randrange(12))) for _ in range(100)]
    WordIndex.of(texts).write(tmp_path / "index.arrow")
    for index in (WordIndex.of(texts), WordIndex.open(tmp_path / "index.arrow")):
        assert index.lengths.tolist() == [len(text) for text in texts]
        for word in (*(f"w{n}" for n in range(30)), "absent"):
            assert index.postings(word).tolist() == [n for n, text in enumerate(texts) if word in text]


def test_no_texts_have_no_words():
    index = WordIndex.of([])
    assert len(index.postings("any")) == 0
    assert index.lengths.dtype == np.int32
