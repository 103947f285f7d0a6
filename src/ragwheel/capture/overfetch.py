"""Over-fetch: whether a retriever may be asked for more chunks than the app wants, and for how many.

Over-fetch records ``capture_k`` chunks and hands the app the first ``k``. That is harmless only where
the first ``k`` of a longer list are the list of ``k``: plain top-k search. It is refused for

* maximal marginal relevance and everything else that picks a *set* (``fetch_k`` follows ``k``),
* rank or score fusion, hybrid search and re-ranking (the candidates change with ``k``),
* filters and other work after the search (``post_filter_pipeline``, ``node_postprocessors``, ``rescore``),
* score thresholds (how many there are is the app's decision, not a count),
* a ``k`` that is unknown, not a whole number, or below 1 (0 is "none" to some stores, "all" to others).

Pure functions over names and values: a decorated function and an integration's retriever object are
judged by the same rules. A refusal is a sentence, recorded with the retrieval, never an exception of
the app's call.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ragwheel.capture.checks import (
    CHANGED_FLAG,
    CHANGED_REFUSAL,
    CHECKED_CALLS,
    extended,
    same_first_k,
    unchanged,
    warn_of_change,
)
from ragwheel.capture.cut import first_k
from ragwheel.capture.parameters import CallParameters
from ragwheel.guard import is_interrupt, let_interrupts_through

__all__ = [
    "CHANGED_FLAG",
    "CHANGED_REFUSAL",
    "CHECKED_CALLS",
    "OverfetchPlan",
    "extended",
    "first_k",
    "is_interrupt",
    "let_interrupts_through",
    "may_be_about_k",
    "plan",
    "plan_object",
    "refused_class",
    "same_first_k",
    "unchanged",
    "warn_of_change",
]

# settings, by what their names mean
_MODES = frozenset({"search_type", "search_mode", "query_type", "query_mode", "retrieval_mode"})
_PLAIN_MODES = frozenset(
    {"similarity", "similarity_search", "vector", "dense", "sparse", "knn", "ann", "embedding", "default"}
    | {"bm25", "tfidf", "keyword", "lexical", "text", "fulltext", "full_text"}
)
_OPTION_BAGS = frozenset({"search_kwargs", "search_params", "search_options"})
_CANDIDATE_CAPS = frozenset({"fetch_k", "num_candidates"})
_MMR_KNOBS = frozenset({"lambda_mult", "mmr_lambda", "mmr_fetch_k", "mmr_threshold", "mmr_prefetch_k"})
_SWITCH_WORDS = frozenset(
    {"mmr", "fusion", "rrf", "hybrid", "rerank", "reranker", "diversity", "diversify", "alpha", "weights"}
)
_FLOORS = re.compile(
    r"threshold|cutoff|cut_off|score_floor|(^|_)min_(score|similarity|relevance|confidence)|(^|_)max_distance"
)
_AFTERWARDS = re.compile(r"post_?_?(filter|process)|(^|_)(re_?score|dedup|deduplicate|collapse)(_|$)")
# classes, by the words of their names
_COMPOSED = re.compile(
    r"ensemble|fusion|hybrid|merger|compress|multi_?query|multi_?vector|parent_?document|re_?phras"
    r"|self_?query|time_?weighted|re_?rank|marginal|threshold|weaviate_vector_store|(^|_)(rrf|mmr|router)(_|$)"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class OverfetchPlan:
    """How to make one call.

    ``args``/``kwargs`` are what to call with (the caller's own objects when nothing changes); ``k`` is
    how many chunks the app asked for (None: unknown); ``asked`` is how many the retriever is asked for
    instead (None: the call is made as it came, everything it gives goes to the app); ``refused`` says
    why over-fetch is not possible (None: it is, or ``k`` already reaches ``capture_k``).
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    k: int | None = None
    asked: int | None = None
    refused: str | None = None


def plan(
    signature: inspect.Signature | CallParameters,
    k_param: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    capture_k: int,
    *,
    settings: Mapping[str, Any] | None = None,
) -> OverfetchPlan:
    """Plan the call ``f(*args, **kwargs)`` of a function whose parameter `k_param` is its number of chunks.

    `settings` are facts about the callee that its arguments do not show, such as ``search_type``.
    Never raises for a call that `signature` does not accept: that call is left as it is, so that the
    function raises its own error.
    """
    parameters = signature if isinstance(signature, CallParameters) else CallParameters(signature)
    try:
        passed = _flatten(parameters.bind(args, kwargs), parameters.open_name, k_param)
    except TypeError:
        return OverfetchPlan(args, kwargs, refused="the call does not match the function's signature")
    values = {**(settings or {}), **_flatten(parameters.defaults, None, k_param), **passed}
    if k_param not in values:
        return OverfetchPlan(args, kwargs, refused=f"{k_param!r} was not given and has no default")
    k, asked, refused = _size(k_param, values.pop(k_param), capture_k)
    if asked is not None:
        refused = _changes_results(values, passed.keys(), asked)
    if asked is None or refused:
        return OverfetchPlan(args, kwargs, k, refused=refused)
    return _with_k(parameters.signature, k_param, args, kwargs, k, asked)


def plan_object(settings: Mapping[str, Any], k_field: str | None, capture_k: int) -> OverfetchPlan:
    """Plan for a retriever object from its settings (fields and call options) and the one that holds k.

    The plan's ``args`` and ``kwargs`` are empty: how to set the field without touching the object is
    up to the caller, and so is asking :func:`refused_class` about its classes.
    """
    if k_field is None or k_field not in settings:
        return OverfetchPlan((), {}, refused="it has no field for the number of chunks (k, top_k)")
    k, asked, refused = _size(k_field, settings[k_field], capture_k)
    if asked is not None:
        others = {name: value for name, value in settings.items() if name != k_field}
        refused = _changes_results(others, others.keys(), asked)
    return OverfetchPlan((), {}, k, asked if refused is None else None, refused)


def refused_class(names: Iterable[str]) -> str | None:
    """Why a retriever or store of classes so named is no plain top-k search; None: no name says so."""
    for name in names:
        if _is_composed(name):
            return f"{name} does more than a top-k search"
    return None


@functools.lru_cache(maxsize=1024)
def _is_composed(class_name: str) -> bool:
    return _COMPOSED.search(_CAMEL.sub("_", class_name).lower()) is not None


def may_be_about_k(error: BaseException) -> bool:
    """Whether a call that failed with a larger k deserves the app's own call.

    A store may refuse more than it holds or more than its limit; a lost connection or a timeout has
    nothing to do with k, and waiting for it twice would be felt.
    """
    return (
        not is_interrupt(error)
        and not isinstance(error, (OSError, MemoryError))
        and not re.search(r"timeout|timed_?out|connect", type(error).__name__, re.IGNORECASE)
    )


def _flatten(arguments: Mapping[str, Any], open_name: str | None, k_param: str) -> dict[str, Any]:
    """Arguments by name, with ``**kwargs`` (`open_name`) and bags of search options opened one level."""
    flat = dict(arguments)
    if open_name is not None:
        flat.update(flat.pop(open_name, ()))
    for bag in _OPTION_BAGS & flat.keys():
        if type(flat[bag]) is dict:
            flat.update({key: item for key, item in flat[bag].items() if type(key) is str and key != k_param})
    return flat


def _size(name: str, k: Any, capture_k: int) -> tuple[int | None, int | None, str | None]:
    """(k, asked, refused) from the value of k alone."""
    if isinstance(k, bool) or not isinstance(k, numbers.Integral):
        what = "None" if k is None else f"of type {type(k).__name__}"
        return None, None, f"{name} is {what}, not a whole number"
    if k < 1:
        return int(k), None, f"{name}={int(k)}: what a retriever gives for less than 1 is its own affair"
    return int(k), (capture_k if k < capture_k else None), None


@functools.lru_cache(maxsize=1024)
def _meaning(name: str) -> str:
    """What a setting of this name is about: mode, mmr, cap, knob, floor, after, switch, or '' for none."""
    if name in _MODES:
        return "mode"
    if name in {"mmr", "use_mmr"}:
        return "mmr"
    if name in _CANDIDATE_CAPS:
        return "cap"
    if name in _MMR_KNOBS:
        return "knob"
    if _FLOORS.search(name):
        return "floor"
    if _AFTERWARDS.search(name):
        return "after"
    return "" if _SWITCH_WORDS.isdisjoint(name.split("_")) else "switch"


def _changes_results(values: Mapping[str, Any], passed: Collection[str], asked: int) -> str | None:
    """Why a larger k would change the first chunks, from the other settings in effect; None: it would not.

    A cap on candidates and MMR's knobs do nothing while a mode says that the search is a plain one,
    except that a cap which the app itself set (`given`) must leave room for `asked`.
    """
    relevant = [(name, value, _meaning(name)) for name, value in values.items() if _meaning(name)]
    plain = any(
        (meaning == "mode" and _word(value) in _PLAIN_MODES) or (meaning == "mmr" and not _on(value))
        for _, value, meaning in relevant
    )
    for name, value, meaning in relevant:
        if meaning == "mode" and value is not None and _word(value) not in _PLAIN_MODES:
            return f"{name}={_word(value) or type(value).__name__} is not known to be a plain top-k search"
        if meaning == "floor" and value is not None and value is not False:
            return f"{name} is set: scores decide how many chunks there are"
        if meaning == "after" and _on(value):
            return f"{name} is set: it may filter or re-order after the cut"
        if meaning in {"switch", "mmr"} and _on(value):
            return f"{name} is set: the order depends on all candidates"
        if meaning == "knob" and _on(value) and not plain:
            return f"{name} is set: the candidates may depend on k"
        if meaning == "cap" and _on(value):
            too_low = name in passed and not (isinstance(value, int) and value >= asked)
            if too_low or not plain:
                return f"{name} is set: the candidates may depend on k"
    return None


def _on(value: Any) -> bool:
    """Whether a setting is switched on, without asking a foreign object for its truth."""
    if value is None or value is False:
        return False
    return bool(value) if type(value) in (int, float, str, list, tuple, dict) else True


def _word(value: Any) -> str:
    """A mode's word: a string, or an enum member's string value; '' for anything else."""
    value = value if isinstance(value, str) else getattr(value, "value", None)
    return str.lower(value) if isinstance(value, str) else ""


def _with_k(
    signature: inspect.Signature,
    k_param: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    k: int | None,
    asked: int,
) -> OverfetchPlan:
    """The same call with `k_param` set to `asked`, in the place where the caller (or the default) has it."""
    if k_param in kwargs:
        return OverfetchPlan(args, {**kwargs, k_param: asked}, k, asked)
    position = list(signature.parameters).index(k_param)
    parameter = signature.parameters[k_param]
    if parameter.kind is not parameter.KEYWORD_ONLY and position < len(args):
        return OverfetchPlan((*args[:position], asked, *args[position + 1 :]), kwargs, k, asked)
    if parameter.kind is not parameter.POSITIONAL_ONLY:
        return OverfetchPlan(args, {**kwargs, k_param: asked}, k, asked)
    if position == len(args):
        return OverfetchPlan((*args, asked), kwargs, k, asked)
    return OverfetchPlan(
        args,
        kwargs,
        k,
        refused=f"{k_param!r} is positional-only and comes after arguments that were not given",
    )
