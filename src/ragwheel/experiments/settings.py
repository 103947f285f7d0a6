"""The settings of a retriever that experiments can vary, and the systems made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ragwheel.errors import ExperimentError
from ragwheel.experiments.record import Variant

if TYPE_CHECKING:
    from ragwheel.evaluate import System

__all__ = ["BASELINE", "FIELDS", "NONE", "parse_settings", "system_of", "variants_of"]

NONE: Final = "none"
#: The settings, and the values that each accepts.
FIELDS: Final = {
    "retriever": "lexical, dense or hybrid",
    "embedder": "minilm, a folder or a hub id",
    "adapter": "a folder that ragwheel train adapter wrote, or none",
    "reranker": "a folder or a hub id of a cross-encoder over the first 40, or none",
    "chunk_words": "words of a chunk; needs --documents",
    "overlap_words": "words that two neighbouring chunks share; needs --documents",
}
#: The default baseline; the chunk sizes apply only with source documents.
BASELINE: Final[Mapping[str, str]] = {
    "retriever": "dense",
    "embedder": "minilm",
    "adapter": NONE,
    "reranker": NONE,
    "chunk_words": "200",
    "overlap_words": "0",
}
_RETRIEVERS: Final = ("lexical", "dense", "hybrid")
_SIZES: Final = ("chunk_words", "overlap_words")


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Return :data:`BASELINE` with each ``FIELD=VALUE`` applied.

    Raises:
        ExperimentError: there is no such field, or it does not accept the value.
    """
    settings = dict(BASELINE)
    for text in texts:
        field, values = _parse(text)
        if len(values) > 1:
            raise ExperimentError(f"The baseline has one {field}; got {', '.join(values)}.")
        settings[field] = values[0]
    _check_sizes(settings)
    return settings


def variants_of(
    changes: Sequence[str], baseline: Mapping[str, str], *, allow_many: bool = False
) -> tuple[Variant, ...]:
    """Return the baseline and a variant for every other value; several changes are also combined.

    Args:
        changes: ``FIELD=VALUE[,VALUE]``, one field each.
        baseline: see :func:`parse_settings`.
        allow_many: whether to allow several fields, whose effects could not be told apart.

    Raises:
        ExperimentError: there are several fields, or a change has no effect.
    """
    wanted: dict[str, list[str]] = {}
    for text in changes:
        field, values = _parse(text)
        wanted.setdefault(field, []).extend(value for value in values if value != baseline[field])
    for field, others in wanted.items():
        if not others:
            raise ExperimentError(f"{field} is {baseline[field]} in the baseline already: that is no change.")
    if len(wanted) > 1 and not allow_many:
        raise ExperimentError(
            f"Two changes at once ({', '.join(wanted)}): whatever comes out, nobody can say which one did "
            f"it. Plan one experiment each, or --allow-many to try each alone and all together."
        )
    variants = [Variant("baseline", dict(baseline))]
    for taken in product(*([baseline[field], *dict.fromkeys(wanted[field])] for field in wanted)):
        changed = {field: value for field, value in zip(wanted, taken) if value != baseline[field]}
        if not changed:
            continue
        settings = {**baseline, **changed}
        _check_sizes(settings)
        _check_used(changed, settings)
        name = " + ".join(f"{field}={_short(value)}" for field, value in changed.items())
        variants.append(Variant(name, settings))
    return tuple(variants)


def system_of(settings: Mapping[str, str], name: str) -> System:
    """Return the system with these settings, built from the parts of :mod:`ragwheel.evaluate`."""
    from ragwheel import evaluate

    words = evaluate.bm25()
    if settings["retriever"] == "lexical":
        system = words
    else:
        model, folder = settings["embedder"], settings["adapter"]
        dense = (
            evaluate.embedder(model, "dense")
            if folder == NONE
            else evaluate.adapter(folder, "adapted", base=model)
        )
        system = dense if settings["retriever"] == "dense" else evaluate.hybrid(words, dense)
    if settings["reranker"] != NONE:
        system = evaluate.reranked(settings["reranker"], system, name)
    return system


def _parse(text: str) -> tuple[str, list[str]]:
    field, equals, rest = text.partition("=")
    field = field.strip()
    values = [part.strip() for part in rest.split(",") if part.strip()]
    if field not in FIELDS or not equals or not values:
        allowed = "; ".join(f"{name}: {what}" for name, what in FIELDS.items())
        raise ExperimentError(f"A setting is FIELD=VALUE[,VALUE]; got {text!r}. {allowed}.")
    for value in values:
        if field == "retriever" and value not in _RETRIEVERS:
            raise ExperimentError(f"retriever is {value!r}; allowed: {', '.join(_RETRIEVERS)}.")
        if field in _SIZES and not (value.isdecimal() and (int(value) or field == "overlap_words")):
            raise ExperimentError(f"{field} is {value!r}; allowed: a number of words.")
    return field, values


def _check_sizes(settings: Mapping[str, str]) -> None:
    size, overlap = int(settings["chunk_words"]), int(settings["overlap_words"])
    if overlap > size // 2:
        raise ExperimentError(
            f"overlap_words is {overlap} of chunk_words {size}; allowed: up to half of it ({size // 2}), or "
            f"most of the index is said twice."
        )


def _check_used(changed: Mapping[str, str], settings: Mapping[str, str]) -> None:
    idle = [
        field for field in ("embedder", "adapter") if field in changed and settings["retriever"] == "lexical"
    ]
    if idle:
        raise ExperimentError(
            f"{idle[0]} changes nothing with retriever=lexical: BM25 has no vectors. Baseline: "
            f"--set retriever=dense or --set retriever=hybrid"
        )


def _short(value: str) -> str:
    return Path(value).name or value
