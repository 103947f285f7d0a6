"""The re-ranker on features, loaded from a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.deploy.features.catalogue import NAMES
from ragwheel.deploy.features.extract import CandidateChunk, features
from ragwheel.deploy.features.scoring import FeatureScorer, LinearScorer, TreeScorer, read_trees
from ragwheel.deploy.features.tables import Tables, chunk_key
from ragwheel.errors import MissingExtra, ModelError
from ragwheel.guard import guard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.host.columns import Columns

    Floats = NDArray[np.float64]

__all__ = ["FEATURE_FILE", "FeatureReranker", "Similarity", "is_feature_reranker"]

FEATURE_FILE: Final = "features.json"
_TABLES: Final = "features.safetensors"
_TREES: Final = "features.trees.txt"
_FORMAT: Final = "ragwheel-feature-reranker"
_FORMAT_VERSION: Final = 1

#: Returns an encoder's similarities for a question and its candidates.
Similarity = Callable[[str, Sequence[CandidateChunk]], Sequence[float]]


@dataclass(frozen=True, eq=False)
class FeatureReranker:
    """Re-ranks candidates by features: the retriever's scores, words, and experience with earlier questions.

    Pass it to :class:`ragwheel.deploy.Reranked`, or call it with a question and candidates.

    Attributes:
        scorer: computes scores from features.
        columns: indices of the features that it reads, in the order of
            :data:`~ragwheel.deploy.features.NAMES`.
        fill: (ranks, features) the defaults for missing values.
        tables: the model's tables of the store.
        version: the version of the retriever whose rankings it was trained on.
        sources: the sources of the chunks it was trained on; a candidate without a source is looked up in
            each.
        encoder: the embedding model of the encoder's features; empty: there are none.
        similarity: the encoder; None: its features get defaults.
    """

    scorer: FeatureScorer
    columns: NDArray[np.int64]
    fill: Floats
    tables: Tables
    version: str = ""
    sources: tuple[str, ...] = ()
    encoder: str = ""
    similarity: Similarity | None = None

    def with_encoder(self, similarity: Similarity) -> FeatureReranker:
        """Return the re-ranker with an encoder: ``(question, candidates) -> similarities``."""
        return replace(self, similarity=similarity)

    def score_candidates(self, query: str, candidates: Sequence[CandidateChunk]) -> list[float]:
        """Return the scores of a ranking's candidates, in their order; higher is better.

        Scores of another scale, missing scores, unknown chunks and a missing encoder are no errors: missing
        features get the default of the rank.
        """
        if not candidates:
            return []
        if self.similarity is not None:
            values = self.similarity(query, candidates)
            candidates = [replace(entry, similarity=float(value)) for entry, value in zip(candidates, values)]
        candidates = [entry if entry.source else self._in_its_source(entry) for entry in candidates]
        rows = features(query, candidates, self.tables)
        ranks = np.minimum(np.arange(len(rows)), len(self.fill) - 1)
        rows = np.where(np.isfinite(rows), rows, self.fill[ranks])
        return [float(score) for score in self.scorer(rows[:, self.columns])]

    def _in_its_source(self, candidate: CandidateChunk) -> CandidateChunk:
        """Return the candidate with the source that has its id, else with the first source."""
        for source in self.sources:
            if self.tables.knows(chunk_key(source, candidate.id)):
                return replace(candidate, source=source)
        return replace(candidate, source=self.sources[0]) if len(self.sources) == 1 else candidate

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return the scores of texts in the retriever's order, if nothing else is known of the chunks."""
        return self.score_candidates(query, [CandidateChunk(text) for text in texts])

    def score_chunks(self, query: str, columns: Columns, version: str | None = None) -> list[float]:
        """Return the scores of the app's own chunks, as :mod:`ragwheel.host.columns` reads them.

        Args:
            query: the question.
            columns: ids, texts, scores and metadata, in the retriever's order.
            version: name and version of the retriever, if known. Of another retriever than that of the
                training only the ranks are used, not the scores.
        """
        other = version is not None and bool(self.version) and version != self.version
        if other:
            guard.warn_once(
                f"features of {self.version}",
                f"the re-ranker learned from the retriever {self.version!r}, and this is {version!r}: only "
                "its ranks are used, not its scores. Train again: ragwheel train reranker DATASET",
            )
        n = len(columns.ids)
        scores = [None] * n if other or columns.scores is None else columns.scores
        facts = columns.metadata or [None] * n
        rows = zip(columns.ids, columns.texts, scores, facts)
        return self.score_candidates(
            query,
            [
                CandidateChunk(text, name, score=score, metadata=fact or {})
                for name, text, score, fact in rows
            ],
        )

    def predict(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the scores of (question, text) pairs, like a cross-encoder.

        A question's pairs must be in the retriever's order. Scores and ids are not known here, so
        :meth:`score_candidates` is more accurate.
        """
        by_query: dict[str, list[int]] = {}
        for position, (query, _) in enumerate(pairs):
            by_query.setdefault(query, []).append(position)
        scores = [0.0] * len(pairs)
        for query, places in by_query.items():
            rows = [CandidateChunk(pairs[position][1]) for position in places]
            for position, score in zip(places, self.score_candidates(query, rows)):
                scores[position] = score
        return scores

    def save(self, folder: str | Path) -> None:
        """Write the model's files into a folder that exists: JSON, safetensors, LightGBM's text.

        Raises:
            ModelError: the files cannot be written.
        """
        folder = Path(folder)
        tensors = _safetensors()
        about: dict[str, Any] = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "model": "trees" if isinstance(self.scorer, TreeScorer) else "linear",
            "features": [NAMES[column] for column in self.columns],
            "retriever_version": self.version,
            "sources": list(self.sources),
            "encoder": self.encoder,
        }
        arrays = {**self.tables.arrays(), "fill": self.fill}
        if isinstance(self.scorer, LinearScorer):
            about["weights"] = dict(zip(about["features"], map(float, self.scorer.weights)))
            about["mean"] = list(map(float, self.scorer.mean))
            about["scale"] = list(map(float, self.scorer.scale))
        try:
            if isinstance(self.scorer, TreeScorer):
                _replace(folder / _TREES, self.scorer.text.encode())
            _replace(folder / _TABLES, tensors.save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
            _replace(folder / FEATURE_FILE, (json.dumps(about, indent=2) + "\n").encode())
        except OSError as error:
            raise ModelError(
                f"{folder}: the re-ranker cannot be written ({error.strerror or error})"
            ) from error

    @classmethod
    def load(cls, folder: str | Path) -> FeatureReranker:
        """Load a re-ranker that :meth:`save` wrote: numbers and names, no executable code.

        Raises:
            ModelError: there is no re-ranker on features, it is damaged, or was written by a newer ragwheel.
            MissingExtra: numpy, safetensors, or LightGBM for a model with trees, is not installed.
        """
        folder = Path(folder)
        about = _about(folder)
        try:
            arrays = _safetensors().load((folder / _TABLES).read_bytes())
            columns = np.array([NAMES.index(name) for name in about["features"]], dtype=np.int64)
            if about["model"] == "trees":
                scorer: FeatureScorer = read_trees((folder / _TREES).read_text("utf-8"))
            else:
                scorer = _linear(about)
            fill = np.asarray(arrays["fill"], dtype=np.float64)
            if fill.ndim != 2 or fill.shape[1] != len(NAMES) or not np.isfinite(fill).all():
                raise ValueError("its fill has another shape")
            return cls(
                scorer, columns, fill, Tables.from_arrays(arrays), str(about["retriever_version"]),
                tuple(map(str, about["sources"])), str(about["encoder"]),
            )  # fmt: skip
        except (ModelError, MissingExtra):
            raise
        except Exception as error:  # safetensors has an error type of its own
            raise _damaged(folder, f"{type(error).__name__}: {error}") from error


def is_feature_reranker(folder: str | Path) -> bool:
    """Return whether a folder holds a re-ranker on features."""
    return (Path(folder) / FEATURE_FILE).is_file()


def _linear(about: Mapping[str, Any]) -> LinearScorer:
    parts = [
        np.array([about["weights"][name] for name in about["features"]], dtype=np.float64),
        np.array(about["mean"], dtype=np.float64),
        np.array(about["scale"], dtype=np.float64),
    ]
    if any(part.shape != parts[0].shape or not np.isfinite(part).all() for part in parts):
        raise ValueError("weights, mean and scale do not fit together")
    if not (parts[2] > 0).all():
        raise ValueError("a scale is not above 0")
    return LinearScorer(*parts)


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / FEATURE_FILE).read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder}: no {FEATURE_FILE} there, so it is no re-ranker on features. "
            "Next: ragwheel train reranker DATASET --kind features --out DIR"
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, str(error)) from error
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ModelError(f'{folder / FEATURE_FILE}: not ragwheel\'s: its "format" is not {_FORMAT!r}')
    if about.get("format_version") != _FORMAT_VERSION:
        raise ModelError(
            f"{folder}: format version {about.get('format_version')!r}, this ragwheel reads "
            f"{_FORMAT_VERSION}. Next: pip install -U ragwheel"
        )
    return about


def _damaged(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"{folder}: the re-ranker is damaged ({why}). Copy the folder again, or train it again."
    )


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"a re-ranker on features needs {error.name}, not installed here. "
            "Next: pip install 'ragwheel[deploy]'"
        ) from error
    return safetensors.numpy
