"""Over-fetch asks for more only where the app's own k chunks stay the first k."""

from __future__ import annotations

import copy
import enum
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.capture.overfetch import (
    OverfetchPlan,
    first_k,
    may_be_about_k,
    plan,
    plan_object,
    refused_class,
)
from ragwheel.errors import OverfetchRefused


def planned(
    function: Any, *args: Any, k_param: str = "k", capture_k: int = 40, **kwargs: Any
) -> OverfetchPlan:
    return plan(inspect.signature(function), k_param, args, kwargs, capture_k)


def seen(function: Any, made: OverfetchPlan) -> dict[str, Any]:
    """What the function receives when the planned call is made."""
    bound = inspect.signature(function).bind(*made.args, **made.kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def search(query: str, k: int = 5, *, lang: str = "en") -> list[str]:
    return [query, str(k), lang]


def only_by_keyword(query: str, *, top_k: int = 3) -> list[str]:
    return [query, str(top_k)]


def only_by_position(query: str, lang: str = "en", k: int = 4, /) -> list[str]:
    return [query, lang, str(k)]


def by_any_keyword(query: str, **options: Any) -> list[str]:
    return [query, *options]


class Mode(str, enum.Enum):
    similarity = "similarity"
    mmr = "mmr"


@pytest.mark.parametrize(
    ("call", "k"),
    [
        (lambda: (search, planned(search, "q")), 5),
        (lambda: (search, planned(search, "q", 7)), 7),
        (lambda: (search, planned(search, "q", k=7, lang="de")), 7),
        (lambda: (search, planned(search, query="q", k=7)), 7),
        (lambda: (only_by_keyword, planned(only_by_keyword, "q", k_param="top_k")), 3),
        (lambda: (only_by_position, planned(only_by_position, "q", "de", 6)), 6),
        (lambda: (only_by_position, planned(only_by_position, "q", "de")), 4),
        (lambda: (by_any_keyword, planned(by_any_keyword, "q", k=2, lang="de")), 2),
    ],
)
def test_k_is_found_where_the_call_or_the_default_has_it_and_only_k_changes(call: Any, k: int) -> None:
    function, made = call()
    assert (made.k, made.asked, made.refused) == (k, 40, None)
    arguments = seen(function, made)
    assert arguments["query"] == "q"
    options = arguments.get("options", arguments)
    assert options.get("k", options.get("top_k")) == 40
    assert options.get("lang", "en") in {"en", "de"}


def test_the_callers_own_kwargs_are_not_changed() -> None:
    kwargs = {"k": 3}
    made = plan(inspect.signature(search), "k", ("q",), kwargs, 40)
    assert kwargs == {"k": 3}
    assert made.kwargs == {"k": 40}


@pytest.mark.parametrize("k", [40, 41, 1000])
def test_a_k_that_reaches_capture_k_is_left_alone_without_a_refusal(k: int) -> None:
    args, kwargs = ("q",), {"k": k}
    made = plan(inspect.signature(search), "k", args, kwargs, 40)
    assert made.args is args
    assert made.kwargs is kwargs
    assert (made.k, made.asked, made.refused) == (k, None, None)


@pytest.mark.parametrize("k", [None, "5", 5.0, True, 0, -1, object()])
def test_a_k_that_is_no_positive_whole_number_is_refused(k: Any) -> None:
    made = planned(search, "q", k)
    assert made.args == ("q", k)
    assert made.asked is None
    assert made.refused


def test_numpy_integers_count() -> None:
    numpy = pytest.importorskip("numpy")
    assert planned(search, "q", numpy.int64(3)).asked == 40


@pytest.mark.parametrize(
    ("function", "args", "k_param"),
    [
        (by_any_keyword, ("q",), "k"),  # not given, and no default to read
        (search, ("q",), "top_k"),  # no such parameter
        (search, (), "k"),  # a call that the function itself rejects
        (search, ("q", 1, 2), "k"),
        (only_by_position, ("q",), "k"),  # nothing to put before a positional-only k
    ],
)
def test_a_call_that_cannot_be_planned_is_left_as_it_came(function: Any, args: Any, k_param: str) -> None:
    kwargs: dict[str, Any] = {}
    made = plan(inspect.signature(function), k_param, args, kwargs, 40)
    assert made.args is args
    assert made.kwargs is kwargs
    assert made.asked is None
    assert made.refused


@pytest.mark.parametrize(
    "options",
    [
        {"search_type": "mmr"},
        {"search_type": Mode.mmr},
        {"search_type": "similarity_score_threshold"},
        {"search_type": "hybrid"},
        {"retrieval_mode": object()},
        {"mmr": True},
        {"use_mmr": 1},
        {"score_threshold": 0.0},
        {"similarity_cutoff": 0.7},
        {"min_score": 0.1},
        {"fetch_k": 20},
        {"lambda_mult": 0.5},
        {"rrf_fusion": True},
        {"hybrid": True},
        {"alpha": 0.5},
        {"weights": [0.5, 0.5]},
        {"reranker": object()},
        {"post_filter_pipeline": [{"$match": {}}]},
        {"post_filter": len},
        {"postprocessors": [len]},
        {"rescore": True},
        {"dedup": "url"},
        {"search_kwargs": {"score_threshold": 0.2}},
        {"mmr": False, "fetch_k": 20},  # a cap that the app set, below what would be asked for
        {"search_type": "similarity", "fetch_k": object()},
    ],
)
def test_options_that_make_the_order_depend_on_k_are_refused(options: dict[str, Any]) -> None:
    made = planned(by_any_keyword, "q", k=4, **options)
    assert (made.k, made.asked) == (4, None)
    assert made.refused
    assert made.kwargs == {"k": 4, **options}


@pytest.mark.parametrize(
    "options",
    [
        {"search_type": "similarity"},
        {"search_type": Mode.similarity},
        {"search_type": None},
        {"mmr": False},
        {"score_threshold": None},
        {"rerank": False},
        {"post_filter_pipeline": None},
        {"postprocessors": []},
        {"scored_by": "cosine", "filter": {"a": 1}},
        {"hybrid": ""},
        {"filter": {"threshold": 5}},  # a filter by a metadata key of that name
        {"search_type": "similarity", "lambda_mult": 0.5},
        {"search_type": "similarity", "fetch_k": 40},
        {"search_kwargs": {"ef": 100, "k": 1}},
        {"alphabet": "latin", "namespace": "a"},
    ],
)
def test_options_that_leave_a_plain_search_plain_are_not(options: dict[str, Any]) -> None:
    made = planned(by_any_keyword, "q", k=4, **options)
    assert (made.k, made.asked, made.refused) == (4, 40, None)
    assert made.kwargs == {**options, "k": 40}


def test_a_default_counts_as_set() -> None:
    def thresholded(query: str, k: int = 4, threshold: float = 0.3) -> None: ...

    def faiss_like(query: str, k: int = 4, fetch_k: int = 20) -> None: ...

    assert planned(thresholded, "q").refused
    assert planned(thresholded, "q", threshold=None).asked == 40
    assert planned(faiss_like, "q").refused
    plain = plan(inspect.signature(faiss_like), "k", ("q",), {}, 40, settings={"search_type": "similarity"})
    assert plain.asked == 40


@pytest.mark.parametrize(
    "name",
    [
        "EnsembleRetriever", "MergerRetriever", "ContextualCompressionRetriever", "MultiQueryRetriever",
        "ParentDocumentRetriever", "SelfQueryRetriever", "TimeWeightedVectorStoreRetriever", "RRFRetriever",
        "MMRSearch", "WeaviateVectorStore", "PineconeHybridSearchRetriever",
    ],
)  # fmt: skip
def test_classes_that_combine_or_rescore_are_refused_by_name(name: str) -> None:
    assert name in (refused_class([name, "BaseRetriever"]) or "")


def test_other_classes_are_not() -> None:
    assert refused_class(["BM25Retriever", "KNNRetriever", "CommRetriever", "CurrfRetriever", "ABC"]) is None


def test_an_objects_fields_are_judged_like_arguments() -> None:
    assert plan_object({"k": 4, "docs": []}, "k", 40) == OverfetchPlan((), {}, 4, 40, None)
    assert plan_object({"k": 4, "relevancy_threshold": 0.1}, "k", 40).refused
    assert plan_object({"k": 4, "relevancy_threshold": None}, "k", 40).asked == 40
    assert plan_object({"docs": []}, None, 40).refused
    assert plan_object({"docs": []}, "k", 40).refused
    assert plan_object({"k": None}, "k", 40).refused
    assert plan_object({"k": 50}, "k", 40) == OverfetchPlan((), {}, 50, None, None)


class Hits(list[str]):
    """A list with something to say, as some clients return."""

    took_ms = 3.5


@given(st.lists(st.integers()), st.integers(1, 50))
def test_the_first_k_are_the_same_items_in_the_same_kind_of_container(items: list[int], k: int) -> None:
    assert first_k(items, k) == items[:k]
    assert first_k(tuple(items), k) == tuple(items[:k])
    hits = Hits(map(str, items))
    hits.took_ms = 7.5
    cut = first_k(hits, k)
    assert type(cut) is Hits
    assert list(cut) == list(map(str, items))[:k]
    assert cut.took_ms == 7.5
    assert len(hits) == len(items)


def test_a_list_that_is_short_enough_is_the_same_object() -> None:
    items = [1, 2, 3]
    assert first_k(items, 3) is items


@pytest.mark.parametrize(
    ("given_back", "cut"),
    [
        ({"documents": [1, 2, 3]}, {"documents": [1, 2]}),
        ({"documents": [1, 2, 3], "took_ms": 7}, {"documents": [1, 2], "took_ms": 7}),
        ({"ids": [1, 2, 3], "texts": ["a", "b", "c"]}, {"ids": [1, 2], "texts": ["a", "b"]}),
        (
            {"ids": [["a", "b", "c"]], "documents": [["x", "y", "z"]], "embeddings": None},
            {"ids": [["a", "b"]], "documents": [["x", "y"]], "embeddings": None},
        ),
    ],
)
def test_lists_in_a_dict_are_cut(given_back: Any, cut: Any) -> None:
    before = copy.deepcopy(given_back)
    assert first_k(given_back, 2) == cut
    assert given_back == before
    assert first_k(cut, 2) is cut


class Pair(tuple[int, ...]):
    __slots__ = ()


@pytest.mark.parametrize(
    "given_back",
    [
        {"ids": [1, 2, 3], "tags": ["x"]},
        {"documents": [1, 2, 3], "total": 3},
        {"documents": [1, 2, 3], "meta": {"found": 3}},
        {"documents": [1, 2, 3], "by_source": {"a": [1, 2], "b": [3]}},
        {"answer": "no list"},
        ([1, 2, 3], [0.1, 0.2, 0.3]),
        ("a text", [1, 2, 3]),
        [{"matches": [1, 2, 3]}],
        [["a", "b", "c"]],
        Pair((1, 2, 3)),
        "abc",
        None,
        iter([1]),
    ],
)
def test_what_cannot_be_cut_is_refused(given_back: Any) -> None:
    with pytest.raises(OverfetchRefused):
        first_k(given_back, 2)


def test_only_errors_that_a_larger_k_could_cause_are_worth_a_second_call() -> None:
    class ReadTimeout(Exception):
        pass

    assert may_be_about_k(ValueError("k of 40 is larger than the number of available scores"))
    assert not may_be_about_k(ConnectionResetError())
    assert not may_be_about_k(MemoryError())
    assert not may_be_about_k(ReadTimeout())
    assert not may_be_about_k(KeyboardInterrupt())
