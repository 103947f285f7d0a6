from __future__ import annotations

import copy
import dataclasses
import functools
import math
import sqlite3
import uuid
from collections.abc import Mapping
from hashlib import blake2b
from types import SimpleNamespace
from typing import NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.host.certainty import Unreadable
from ragwheel.host.columns import columns, content_hash, identity
from ragwheel.host.results import read_result

Document = pytest.importorskip("langchain_core.documents").Document


@dataclasses.dataclass
class Hit:
    chunk_id: str
    text: str
    score: float | None = None


@dataclasses.dataclass(slots=True)
class Haystack:  # the fields of haystack.Document
    id: str
    content: str | None
    blob: bytes | None
    meta: dict
    score: float | None
    embedding: list[float] | None


class TextNode(pydantic.BaseModel):  # the fields of llama_index.core.schema.TextNode
    id_: str
    text: str
    metadata: dict = {}
    embedding: list[float] | None = None

    @property
    def node_id(self):
        return self.id_

    def get_content(self):
        return self.text


class NodeWithScore(pydantic.BaseModel):
    node: TextNode
    score: float | None = None

    @property
    def text(self):
        raise ValueError("Node must be a TextNode to get text.")  # what it does for an image node


class Plain:
    def __init__(self, **held):
        self.__dict__.update(held)


class Row(NamedTuple):
    doc_id: str
    content: str
    distance: float


FORMS = {
    "dict": {"id": "d1", "text": "one", "score": 0.5, "metadata": {"p": 1}},
    "mongo dict": {"_id": "d1", "page_content": "one", "_score": 0.5, "metadata": {"p": 1}},
    "flat dict": {"doc_id": "d1", "content": "one", "similarity": 0.5, "p": 1},
    "chroma row": {"id": "d1", "document": "one", "distance": 0.5, "metadata": {"p": 1}},
    "elastic hit": {"_id": "d1", "_score": 0.5, "_source": {"text": "one", "p": 1}},
    "langchain": (Document(id="d1", page_content="one", metadata={"p": 1}), 0.5),
    "score first": (0.5, Document(id="d1", page_content="one", metadata={"p": 1})),
    "triple": ("d1", "one", 0.5),
    "haystack": Haystack("d1", "one", None, {"p": 1}, 0.5, None),
    "llama": NodeWithScore(node=TextNode(id_="d1", text="one", metadata={"p": 1}), score=0.5),
    "search hit": {"document": {"id": "d1", "text": "one", "metadata": {"p": 1}}, "score": 0.5},
    "object hit": SimpleNamespace(
        document=Document(id="d1", page_content="one", metadata={"p": 1}), score=0.5
    ),
    "dataclass": Hit("d1", "one", 0.5),
    "plain": Plain(id="d1", text="one", score=0.5),
    "namedtuple": Row("d1", "one", 0.5),
    "content parts": {"id": "d1", "content": [{"type": "text", "text": "one"}], "score": 0.5},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1, 3])
def test_every_form_gives_the_same_columns(form, n):
    got = columns([FORMS[form]] * n)
    assert got.ids == ["d1"] * n
    assert got.texts == ["one"] * n
    assert got.scores == [0.5] * n
    assert got.flags == ()
    if got.metadata is not None:
        assert all(meta is not None and meta["p"] == 1 for meta in got.metadata)


def test_types_may_mix():
    got = columns([*FORMS.values(), "just a text", b"bytes", None])
    n = len(FORMS)
    assert got.ids[:n] == ["d1"] * n
    assert got.texts == ["one"] * n + ["just a text", "bytes", ""]
    assert got.scores == [0.5] * n + [None] * 3
    assert set(got.flags) == {"no_id", "bytes", "no_text", "unread_item"}


def test_strings_are_named_by_their_text():
    got = columns(["a", "b"])
    digest = blake2b(b"a", digest_size=16).digest()
    assert content_hash("a") == digest
    assert got.ids[0] == "text:" + digest.hex()[:16] == identity("a")
    assert got.scores is None
    assert got.metadata is None
    assert got.flags == ("no_id",)


def test_nothing_in_nothing_out():
    got = columns([])
    assert (got.ids, got.texts, got.scores, got.metadata) == ([], [], None, None)


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"), (b"ab", "ab")]
)
def test_ids_that_are_no_strings(value, text):
    got = columns([{"id": value, "text": "x"}])
    assert got.ids == [text] == [identity({"id": value, "text": "x"})]


def test_numpy_ids_and_scores():
    numpy = pytest.importorskip("numpy")
    got = columns([{"id": numpy.int64(3), "text": "x", "score": numpy.float32(0.5)}])
    assert got.ids == ["3"]
    assert got.scores == [0.5]


@pytest.mark.parametrize("value", [None, "", True, [1], object()])
def test_an_unusable_id_gives_way_to_the_text(value):
    item = {"id": value, "text": "x"}
    got = columns([item])
    assert got.ids[0].startswith("text:")
    assert got.flags == ("no_id" if value in (None, "") else "bad_id",)
    assert identity(item) == got.ids[0]


def test_many_long_ids_are_not_one_long_id():
    ids = [str(uuid.uuid4()) for _ in range(100)]
    assert columns([Document(id=i, page_content="x") for i in ids]).ids == ids
    assert columns([{"id": "i" * 5000, "text": ""}]).flags == ("truncated",)


def test_one_id_with_two_texts_is_flagged_and_one_chunk_twice_is_not():
    assert columns([Hit("a", "x"), Hit("a", "y")]).flags == ("repeated_id",)
    assert columns([Hit("a", "x"), Hit("a", "x")]).flags == ()


def test_scores_that_are_none_or_not_finite():
    got = columns([(Document(id="a", page_content="x"), 0.5), (Document(id="b", page_content="y"), math.nan)])
    assert got.scores == [0.5, None]
    assert got.flags == ("bad_score",)
    assert columns([Hit("a", "x"), Hit("b", "y")]).scores is None
    assert columns([Hit("a", "x", 1), Hit("b", "y")]).scores == [1.0, None]


def test_metadata_is_passed_by_reference_and_nothing_is_changed():
    docs = [Document(id=str(i), page_content="t", metadata={"p": [i]}) for i in range(3)]
    before = copy.deepcopy(docs)
    got = columns(docs)
    assert got.metadata is not None
    assert all(meta is doc.metadata for meta, doc in zip(got.metadata, docs, strict=True))
    assert docs == before


def test_the_columns_do_not_follow_the_hosts_list():
    texts = ["a", "b"]
    got = columns(texts)
    texts.clear()
    assert got.texts == ["a", "b"]


def test_other_keys_become_metadata_but_embeddings_stay_out():
    for items in (
        [{"id": 1, "text": "x", "page": 3, "embedding": [0.1]}],
        [{"text": "x", "page": 3, "vector": [0.1]}],
    ):
        for got in (columns(items), columns([*items, "a text"])):
            assert got.metadata is not None
            assert got.metadata[0] == {"page": 3}
            assert "vector_left_out" in got.flags


def test_keys_and_attributes_may_differ_from_item_to_item():
    got = columns([{"id": 1, "text": "x"}, {"id": 2, "content": "y", "score": 0.5}])
    assert (got.texts, got.scores) == (["x", "y"], [None, 0.5])
    got = columns([Plain(id="1", text="x"), Plain(id="2", text="y", score=0.5)])
    assert (got.ids, got.scores) == (["1", "2"], [None, 0.5])


def test_as_many_keys_need_not_be_the_same_keys():
    got = columns(
        [
            {"doc_id": "a", "text": "x", "metadata": {}, "page": 3},
            {"doc_id": "b", "text": "y", "metadata": {}, "id": "own"},
        ]
    )
    assert got.ids == ["a", "own"]


def test_finite_scores_whose_sum_is_not():
    got = columns([{"text": "x", "score": 1e308}, {"text": "y", "score": 1e308}])
    assert got.scores == [1e308, 1e308]
    assert "bad_score" not in got.flags


def test_sqlite_rows():
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    rows = db.execute("SELECT 5 AS id, 'x' AS text, 0.5 AS score, 'de' AS lang").fetchall()
    db.close()
    got = columns(rows)
    assert (got.ids, got.texts, got.scores, got.metadata) == (["5"], ["x"], [0.5], [{"lang": "de"}])


def test_an_object_that_answers_every_attribute_is_not_asked():
    class Proxy:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked for")

    with pytest.raises(Unreadable, match="no text and no id"):
        columns([Proxy()])


def test_an_adapter_may_give_any_form_and_may_fail():
    def adapter(item):
        return {1: {"id": "a", "text": "x"}, 2: ("b", "y"), 3: Document(id="c", page_content="z")}[item]

    got = read_result([1, 2, 3, 4], 40, adapter).columns
    assert got.ids[:3] == ["a", "b", "c"]
    assert got.texts == ["x", "y", "z", ""]
    assert "broken_item" in got.flags


class Broken(Mapping):
    """A mapping whose text cannot be had."""

    def __getitem__(self, name):
        if name == "id":
            return "b"
        raise RuntimeError("the connection is closed")

    def __iter__(self):
        return iter(["id", "text"])

    def __len__(self):
        return 2

    def __eq__(self, other):
        raise RuntimeError("compared")

    def __str__(self):
        raise RuntimeError("printed")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]


class HostileMeta(type):
    def __eq__(cls, other):
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]


class Unhashable(metaclass=HostileMeta):
    text = "x"


def test_a_broken_item_costs_itself_only():
    got = columns([Broken(), Hit("a", "x")])
    assert got.ids[0].startswith("unread:")
    assert got.ids[1] == "a"
    assert got.texts == ["", "x"]
    assert "broken_item" in got.flags
    assert columns([Unhashable(), "a"]).texts[1] == "a"


def test_of_a_list_of_broken_items_nothing_is_read():
    with pytest.raises(Unreadable, match="no text and no id"):
        columns([Broken()] * 3)


class Loading:
    """An item with a text that would be loaded, and a chunk that would be computed."""

    id = "a"

    @property
    def text(self):
        raise AssertionError("loaded")

    @functools.cached_property
    def document(self):
        raise AssertionError("computed")


@pytest.mark.parametrize(
    "items", [[Loading()], [Loading(), Loading()], [(Loading(), 0.5)], [Loading(), "a text"]]
)
def test_a_property_that_computes_is_not_asked(items):
    got = columns(items)
    assert got.ids[0] == "a"
    assert got.texts[0] == ""
    assert "no_text" in got.flags


def test_items_without_id_and_text_are_never_one_chunk():
    got = columns([None, {"page": 3}, "a text", {"page": 4}])
    assert len(set(got.ids)) == 4
    assert "unread_item" in got.flags


def test_a_float_is_never_an_id():
    got = columns([{"id": 0.5, "text": "x"}, {"id": 0.7, "text": "y"}])
    assert all(i.startswith("text:") for i in got.ids)
    assert "bad_id" in got.flags


def test_bytes_that_are_no_text_stay_apart_as_ids():
    got = columns([{"id": b"\xff\x01", "text": "x"}, {"id": b"\xfe\x01", "text": "y"}])
    assert got.ids == ["ff01", "fe01"]


def test_a_document_in_itself_ends():
    loop: dict[str, object] = {}
    loop["document"] = loop
    with pytest.raises(Unreadable):
        columns([loop])


def test_identity_of_what_is_no_chunk():
    assert identity(None) is None
    assert identity(object()) is None
    assert identity(1.5) is None
    assert identity(True) is None
    assert identity(3) == "3"
    assert identity((Document(id="d", page_content="x"), 0.5)) == "d"


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters() | st.just("\ud800"))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.sampled_from(["id", "text", "score", "metadata", "document", "x"]) | st.integers(), inner
        )
        | st.builds(Hit, inner, inner, inner)
        | st.builds(Plain, id=inner, page_content=inner)
    ),
    max_leaves=8,
)


@given(st.lists(_ANY, max_size=6))
def test_whatever_the_items_are_the_columns_are_sound(items):
    try:
        got = columns(items)
    except Unreadable:
        return  # nothing can be told of any of them
    assert len(got.ids) == len(got.texts) == len(items)
    "".join(got.ids + got.texts).encode()
    assert all(type(i) is str and i for i in got.ids)
    for column in (got.scores, got.metadata):
        assert column is None or len(column) == len(items)
    assert got.scores is None or all(s is None or math.isfinite(s) for s in got.scores)
    for item, app_id in zip(items, got.ids, strict=True):
        assert identity(item) in (app_id, None) or not isinstance(item, (str, bytes))


def test_what_wraps_a_document_has_its_own_id_and_score_and_takes_the_rest_from_it():
    wrapped = {"id": "inner", "text": "of the document", "score": 0.1, "metadata": {"p": 1}}
    hits = [{"id": "outer", "document": wrapped, "score": 0.9}, {"document": {**wrapped, "id": "second"}}]
    got = columns(hits)
    assert (got.ids, got.texts, got.scores) == (["outer", "second"], ["of the document"] * 2, [0.9, 0.1])
    assert got.metadata == [{"p": 1}, {"p": 1}]
