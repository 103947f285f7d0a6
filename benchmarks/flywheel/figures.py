"""Measuring what was trained: means over seeds, paired differences, the guard's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from flywheel.setting import BASE
from flywheel.steps import STEPS, Turn
from ragwheel.evaluate import (
    Collection,
    Evaluation,
    Measured,
    System,
    adapter,
    baselines,
    bm25,
    compare,
    compare_many,
    embedder,
    evaluate,
    hybrid,
    recommend,
    reranked,
)

__all__ = ["MEASURE", "means", "measure"]

MEASURE = "nDCG@10"


def measure(turns: Sequence[Turn], collection: Collection, *, rerank: int) -> dict[str, Any]:
    """Every system that was trained, beside BM25, the base and their fusion.

    Args:
        turns: of all seeds; a system's value for a question is the mean over its seeds.
        collection: what to measure on.
        rerank: how many documents a re-ranker reads for a question; 0: leave re-rankers out.

    Returns:
        Means and differences by system and slice, and what the guard recommends.
    """
    trained = [system for turn in turns for system in _systems(turn, rerank)]
    found = means(evaluate(collection, [*baselines(BASE), *trained]))
    advice = recommend(_without_oracle(found))
    seeds = Counter(_plain(one.name) for one in trained)
    return {
        "collection": collection.name,
        "documents": found.documents,
        "queries": {part: len(_judged(found).slice(part)) for part in found.slices("evalset")},
        "systems": [{**_told(found, one.name), "seeds": seeds[one.name]} for one in found.systems],
        "pairs": list(_pairs(found)),
        "recommended": {"system": advice.system, "why": advice.why, "refused": advice.refused},
        "evaluated_s": round(found.elapsed_s, 1),
    }


def _systems(turn: Turn, rerank: int) -> Iterable[System]:
    """Named ``step of labels #seed``."""
    for labels in turn.plan.systems:
        made = {step: turn.path(labels, step) for step in STEPS}
        have = {step: path for step, path in made.items() if f"{labels}/{step}" in turn.told()}
        if "adapter" in have:
            yield adapter(have["adapter"], f"adapter of {labels} #{turn.seed}", BASE)
        if "embedder" in have:
            yield embedder(have["embedder"], f"embedder of {labels} #{turn.seed}")
        if "features" in have:
            yield from _by_features(have, labels, turn.seed)
        if "reranker" in have and rerank:
            over = embedder(BASE, "base")
            yield reranked(have["reranker"], over, f"re-ranker of {labels} #{turn.seed}", depth=rerank)
        if "reranker" in have and "embedder" in have and rerank:
            over = embedder(have["embedder"], "embedder")
            name = f"embedder + re-ranker of {labels} #{turn.seed}"
            yield reranked(have["reranker"], over, name, depth=rerank)


def _by_features(have: Mapping[str, Path], labels: str, seed: int) -> Iterable[System]:
    """The re-ranker on features over the base, over hybrid search, and over what was trained beside it."""
    model, plain = have["features"], embedder(BASE, "base")
    yield reranked(model, plain, f"features of {labels} #{seed}")
    yield reranked(model, hybrid(bm25(), plain), f"hybrid + features of {labels} #{seed}")
    tuned = {}
    if "adapter" in have:
        tuned["adapter"] = adapter(have["adapter"], "adapter", BASE)
    if "embedder" in have:
        tuned["embedder"] = embedder(have["embedder"], "embedder")
    for name, system in tuned.items():
        yield reranked(model, system, f"{name} + features of {labels} #{seed}")
        over = hybrid(bm25(), system)
        yield reranked(model, over, f"hybrid with {name} + features of {labels} #{seed}")


def _plain(name: str) -> str:
    return name.partition(" #")[0]


def means(found: Evaluation) -> Evaluation:
    """The same evaluation with one system for all seeds of each: its value for a question is their mean."""
    by_name: dict[str, list[str]] = {}
    for one in found.systems:
        by_name.setdefault(_plain(one.name), []).append(one.name)
    measured = {
        name: _mean(name, [found.measured[seed] for seed in seeds]) for name, seeds in by_name.items()
    }
    first = {_plain(one.name): one for one in reversed(found.systems)}
    systems = tuple(replace(first[name], name=name) for name in by_name)
    others = [one for name, one in measured.items() if name != found.reference]
    compared = compare_many(others, measured[found.reference], measures=(found.measure,))
    return replace(found, systems=systems, measured=measured, comparisons={one.a: one for one in compared})


def _without_oracle(found: Evaluation) -> Evaluation:
    """What an app could use: nobody has judged its questions."""
    kept = {one.name for one in found.systems if not one.name.endswith(" of people")}
    return replace(
        found,
        systems=tuple(one for one in found.systems if one.name in kept),
        comparisons={name: one for name, one in found.comparisons.items() if name in kept},
    )


def _mean(name: str, seeds: Sequence[Measured]) -> Measured:
    values = {
        labels: {
            which: {
                query: float(np.mean([one.values[labels][which][query] for one in seeds])) for query in first
            }
            for which, first in of_measure.items()
        }
        for labels, of_measure in seeds[0].values.items()
    }
    return replace(seeds[0], system=name, values=values)


def _judged(found: Evaluation) -> Any:
    return found.measured[found.reference].judged["evalset"]


def _told(found: Evaluation, name: str) -> dict[str, Any]:
    one = found.measured[name]
    parts = found.slices("evalset")
    told: dict[str, Any] = {
        "system": name,
        "means": {part: one.mean("evalset", MEASURE, part) for part in parts},
        "recall@10": one.mean("evalset", "recall@10"),
        "recall@40": one.mean("evalset", "recall@40"),
    }
    if name in found.comparisons:
        told["against_base"] = _rows(found.comparisons[name])
        told["verdict"] = str(found.comparisons[name].verdict)
    return told


def _pairs(found: Evaluation) -> Iterable[dict[str, Any]]:
    """What the traces won against people's judgments and the naive recipe by the same trainer, and hybrid."""
    for name, one in found.measured.items():
        step, _, labels = name.rpartition(" of ")
        for other in ("people", "naive"):
            reference = found.measured.get(f"{step} of {other}")
            if labels == "traces" and reference is not None:
                compared = compare(one, reference, measures=(MEASURE,))
                yield {"step": step, "a": labels, "b": other, "parts": _rows(compared)}
        if labels == "traces":
            compared = compare(one, found.measured["hybrid"], measures=(MEASURE,))
            yield {"step": step, "a": labels, "b": "hybrid", "parts": _rows(compared)}


def _rows(compared: Any) -> dict[str, Any]:
    return {
        row.part: {"mean": row.difference.mean, "low": row.difference.low, "high": row.difference.high,
                   "p": row.p_corrected, "queries": row.difference.queries,
                   "wins": asdict(row.difference)["wins"], "losses": row.difference.losses}
        for row in compared.rows
    }  # fmt: skip
