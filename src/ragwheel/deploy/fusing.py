"""Hybrid search: fusion of several rankings with weights tuned on the app's own traces."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ragwheel.errors import ConfigurationError, ModelError
from ragwheel.guard import guard, let_interrupts_through
from ragwheel.host.certainty import Unreadable
from ragwheel.host.columns import read

__all__ = ["FUSION_FILE", "FusedSearch", "Fusion", "fuse_results", "fusion_of"]

FUSION_FILE: Final = "fusion.json"
_FORMAT: Final = "ragwheel-fusion"
_FORMAT_VERSION: Final = 1

#: Ids of chunks, best first, with their scores; None if the retriever gives none.
Scored = Sequence[tuple[str, float | None]]


@dataclass(frozen=True)
class Fusion:
    """A method of fusing rankings, with its weights.

    Args:
        method: ``rrf``, the weighted sum of ``1 / (k + rank)`` (Cormack et al., SIGIR 2009), or ``convex``,
            the weighted sum of scores that are scaled to 0-1 within each ranking (Bruch et al., TOIS 2023).
        weights: one weight per retriever, at least 0, not all 0.
        k: the constant of ``rrf``.
        retrievers: the retrievers for which the weights were tuned, as ``ragwheel evaluate`` names systems.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    method: Literal["rrf", "convex"] = "rrf"
    weights: tuple[float, ...] = (0.5, 0.5)
    k: int = 60
    retrievers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in ("rrf", "convex"):
            raise ConfigurationError(f"method is {self.method!r}; allowed: rrf, convex.")
        if not (
            self.weights
            and all(math.isfinite(weight) and weight >= 0 for weight in self.weights)
            and sum(self.weights) > 0
        ):
            raise ConfigurationError(f"weights are {self.weights}; allowed: numbers from 0, not all 0.")
        if self.k < 1:
            raise ConfigurationError(f"k is {self.k}; allowed: 1 or more.")

    def fuse(self, rankings: Sequence[Scored]) -> list[tuple[str, float]]:
        """Return ids with their fused scores, best first; ties go to the id that was ranked higher first.

        Raises:
            ConfigurationError: there are more or fewer rankings than weights.
        """
        if len(rankings) != len(self.weights):
            raise ConfigurationError(
                f"a fusion of {len(self.weights)} retrievers got {len(rankings)} rankings; allowed: one each."
            )
        scores: dict[str, float] = {}
        for weight, ranking in zip(self.weights, rankings):
            values = self._values(ranking)
            for (document, _), value in zip(ranking, values):
                scores[document] = scores.get(document, 0.0) + weight * value
        return sorted(scores.items(), key=lambda item: -item[1])

    def _values(self, ranking: Scored) -> list[float]:
        if self.method == "rrf":
            return [1 / (self.k + rank) for rank in range(1, len(ranking) + 1)]
        scores = [score for _, score in ranking if score is not None and math.isfinite(score)]
        if len(scores) < len(ranking) or len(set(scores)) < 2:  # nothing to scale: equal steps by rank
            return [1 - position / len(ranking) for position in range(len(ranking))]
        if scores[0] < scores[-1]:  # distances
            scores = [-score for score in scores]
        low, high = min(scores), max(scores)
        return [(score - low) / (high - low) for score in scores]

    def save(self, folder: str | Path) -> None:
        """Write ``fusion.json`` into a folder that exists.

        Raises:
            ModelError: the file cannot be written.
        """
        about = {"format": _FORMAT, "format_version": _FORMAT_VERSION, **asdict(self)}
        path = Path(folder) / FUSION_FILE
        try:
            part = path.with_name(f".{path.name}.part")
            part.write_text(json.dumps(about, indent=2) + "\n", "utf-8")
            part.replace(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, folder: str | Path) -> Fusion:
        """Load the ``fusion.json`` of a folder.

        Raises:
            ModelError: the file is missing or damaged, or was written by a newer ragwheel.
        """
        path = Path(folder) / FUSION_FILE
        try:
            about = json.loads(path.read_text("utf-8"))
            if about["format"] != _FORMAT or about["format_version"] != _FORMAT_VERSION:
                raise ModelError(
                    f"{path}: format {about['format']!r} {about['format_version']!r}, this ragwheel reads "
                    f"{_FORMAT} {_FORMAT_VERSION}. Next: pip install -U ragwheel"
                )
            return cls(
                about["method"], tuple(map(float, about["weights"])), int(about["k"]),
                tuple(map(str, about["retrievers"])),
            )  # fmt: skip
        except FileNotFoundError:
            raise ModelError(
                f"{folder}: no {FUSION_FILE} there. Next: ragwheel train fusion DATASET --out DIR"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is damaged ({error}). Tune it again: ragwheel train fusion") from error


class FusedSearch:
    """A function ``search(query)`` that asks several retrievers and fuses their results.

    Args:
        retrievers: functions ``(query, k=...)`` that return lists of chunks, best first.
        fusion: a fusion with a weight for each, or the folder that ``ragwheel train fusion`` wrote; None:
            reciprocal rank fusion with equal weights.
        fetch_k: the number of chunks to ask each retriever for.
        k: the number of chunks to return.

    Wrap it with ``@ragwheel.retriever`` to record the fused ranking. Chunks with equal ids are merged. A
    retriever that raises is skipped, counted and logged once; if all of them raise, the first exception is
    raised.

    Raises:
        ConfigurationError: a retriever is no function, the weights are not one for each, or `k` is not
            between 1 and `fetch_k`.
    """

    def __init__(
        self,
        retrievers: Sequence[Callable[..., Sequence[Any]]],
        fusion: Fusion | str | Path | None = None,
        *,
        fetch_k: int = 40,
        k: int = 5,
    ) -> None:
        if not retrievers or not all(callable(retriever) for retriever in retrievers):
            raise ConfigurationError(
                "FusedSearch needs functions (query, k=...) as retrievers; allowed: a list."
            )
        self.fusion = fusion_of(fusion, len(retrievers), "FusedSearch")
        if not 1 <= k <= fetch_k:
            raise ConfigurationError(f"FusedSearch(k={k}, fetch_k={fetch_k}): allowed: 1 <= k <= fetch_k")
        self.retrievers, self.fetch_k, self.k = tuple(retrievers), fetch_k, k

    def __call__(self, query: str, k: int | None = None) -> list[Any]:
        """Return the best `k` chunks, each as the first retriever returned it."""
        results: list[Sequence[Any] | Exception] = []
        for retriever in self.retrievers:
            try:
                results.append(list(retriever(query, k=self.fetch_k)))
            except Exception as error:  # noqa: BLE001 - the app's own retriever; the others still serve
                let_interrupts_through(error)
                results.append(error)
        fused = fuse_results(results, self.fusion)
        return [chunk for chunk, _ in fused][: self.k if k is None else k]


def fusion_of(fusion: Fusion | str | Path | None, retrievers: int, user: str) -> Fusion:
    """Return the fusion for a number of retrievers.

    Args:
        fusion: a fusion with a weight for each, or the folder that ``ragwheel train fusion`` wrote; None:
            reciprocal rank fusion with equal weights.
        retrievers: the number of retrievers.
        user: the name of the caller, for the message.

    Raises:
        ConfigurationError: there is not one weight for each.
        ModelError: the folder has no fusion.
    """
    tuned = Fusion.load(fusion) if isinstance(fusion, (str, Path)) else fusion
    tuned = tuned or Fusion(weights=(1.0,) * retrievers)
    if len(tuned.weights) != retrievers:
        raise ConfigurationError(
            f"{user} got {retrievers} retrievers and {len(tuned.weights)} weights; "
            "allowed: one for each, in the order in which they were tuned."
        )
    return tuned


def fuse_results(results: Sequence[Sequence[Any] | Exception], fusion: Fusion) -> list[tuple[Any, float]]:
    """Fuse the results of several retrievers for one question.

    Args:
        results: for each retriever, in the order of the weights, its chunks, best first, or its exception. A
            retriever with an exception is skipped, counted and logged once.
        fusion: the fusion.

    Returns:
        The chunks with their fused scores, best first, each as the first retriever returned it. Chunks with
        equal ids are merged.

    Raises:
        Exception: the exception of the first retriever, if all of them raised.
        ConfigurationError: there are more or fewer results than weights.
    """
    chunks: dict[str, Any] = {}
    failures = [result for result in results if isinstance(result, Exception)]
    for failure in failures:
        guard.count("fusing")
        guard.warn_once("fusing", f"a retriever raised {type(failure).__name__}; it was left out")
    if failures and len(failures) == len(results):
        raise failures[0]
    rankings: list[Scored] = [
        [] if isinstance(result, Exception) else scored(result, chunks) for result in results
    ]
    return [(chunks[name], score) for name, score in fusion.fuse(rankings)]


def scored(ranked: Sequence[Any], chunks: dict[str, Any]) -> Scored:
    """Return the ids and scores of an app's own chunks, and add these to `chunks` by id."""
    if not ranked:
        return []
    try:
        columns = read(list(ranked))
    except Unreadable:  # without ids, each item is a chunk of its own
        chunks.update((f"unread {id(chunk)}", chunk) for chunk in ranked)
        return [(f"unread {id(chunk)}", None) for chunk in ranked]
    scores = columns.scores or [None] * len(columns.ids)
    score_of: Mapping[str, float | None] = dict(reversed(list(zip(columns.ids, scores))))
    for name, chunk in zip(columns.ids, ranked):
        chunks.setdefault(name, chunk)
    return [(name, score_of[name]) for name in dict.fromkeys(columns.ids)]
