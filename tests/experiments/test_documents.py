"""Documents cut anew: what was judged is found again."""

from __future__ import annotations

import pytest

from ragwheel.errors import ExperimentError
from ragwheel.evaluate import Collection
from ragwheel.experiments.documents import Place, cut, read_documents


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "one.md").write_text(" ".join(f"w{i}" for i in range(100)))
    (tmp_path / "two.txt").write_text("Ärger, mit  Umlauten:\n\n*und* Zeichen! " * 3)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_all_texts_of_a_folder_are_read(folder):
    assert set(read_documents(folder).texts) == {"guide/one.md", "two.txt"}


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(ExperimentError, match=r"holds no \.txt or \.md file"):
        read_documents(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExperimentError, match="cannot be read as UTF-8"):
        read_documents(tmp_path)


def test_chunks_are_found_by_their_words(folder):
    sources = read_documents(folder)
    found = sources.locate(
        {
            "exact": " ".join(f"w{i}" for i in range(20, 40)),
            "markup": "**W20**, w21! " + " ".join(f"w{i}" for i in range(22, 40)),
            "changed": " ".join(f"w{i}" if i != 30 else "new" for i in range(10, 50)),
            "short": "mit Umlauten",
            "elsewhere": "nothing of this stands in any of the documents",
            "empty": "…",
        }
    )
    assert found["exact"] == found["markup"] == Place("guide/one.md", 20, 40)
    assert found["changed"] == Place("guide/one.md", 10, 50)
    assert found["short"].document == "two.txt"
    assert found.keys() == {"exact", "markup", "changed", "short"}


@pytest.fixture
def collection():
    texts = {f"c{i}": " ".join(f"w{j}" for j in range(i * 20, i * 20 + 20)) for i in range(5)}
    return Collection(
        "cut", texts, {"q": "w25", "p": "w85"}, {"evalset": {"q": {"c1": 1, "c0": 0}, "p": {"c4": 1}}}
    )


@pytest.mark.parametrize(
    ("size", "overlap", "n"), [(20, 0, 5), (50, 0, 2), (10, 5, 19), (200, 0, 1), (30, 10, 5)]
)
def test_every_word_is_in_a_chunk_and_judgments_follow(folder, collection, size, overlap, n):
    sources = read_documents(folder)
    places = sources.locate(collection.corpus)
    found = cut(collection, sources, places, size, overlap)
    chunks = {one: text for one, text in found.collection.corpus.items() if one.startswith("guide")}
    assert len(chunks) == n
    assert {word for text in chunks.values() for word in text.split()} == {f"w{i}" for i in range(100)}
    for query, answer in (("q", "c1"), ("p", "c4")):
        positive = found.collection.relevant("evalset", query)
        assert positive
        assert all(answer in found.stands_for[one] for one in positive)
        assert answer in found.translate(sorted(positive))


def test_rankings_are_told_in_the_judged_ids(folder, collection):
    sources = read_documents(folder)
    found = cut(collection, sources, sources.locate(collection.corpus), 10, 0)
    assert found.translate(["guide/one.md#20", "guide/one.md#30", "two.txt#0"]) == ("c1", "two.txt#0")


def test_other_sources_are_noticed(folder, collection):
    with pytest.raises(ExperimentError, match="No judged chunk stands in the documents"):
        cut(collection, read_documents(folder), {}, 20, 0)
