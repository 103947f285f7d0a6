"""From a built dataset to an adapter folder: :func:`train_adapter`."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from ragwheel.datasets import open_dataset
from ragwheel.errors import MissingExtra, ModelError
from ragwheel.files import replace_folder
from ragwheel.models.card import MANIFEST, ModelFacts, write_model_card
from ragwheel.models.loading import licence_of
from ragwheel.store.artifacts import register_artifact
from ragwheel.train.adapter.embedding import embedding
from ragwheel.train.adapter.examples import Exposures
from ragwheel.train.adapter.fit import AdapterFit, fit_adapter
from ragwheel.train.adapter.options import AdapterOptions
from ragwheel.train.adapter.rows import (
    AdapterRows,
    believed_chunks,
    labelled_chunks,
    rows_of_beliefs,
    rows_of_labels,
)
from ragwheel.train.adapter.two_sided import save_two_sided
from ragwheel.train.beliefs import read_believed
from ragwheel.train.saving import subjects_of, traces_of
from ragwheel.typing import Progress

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset

__all__ = ["TrainedAdapter", "train_adapter"]

_MOST_QUESTIONS: Final = 2_000

Encode = Callable[[Sequence[str], Literal["query", "document"]], Any]


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """A folder, what its dev queries say, and what stands in its card."""

    folder: Path
    fit: AdapterFit
    facts: ModelFacts


def train_adapter(  # noqa: PLR0913 - all but three by keyword
    dataset: str | Path | BuiltDataset,
    out: str | Path,
    embed: Any = "minilm",
    *,
    options: AdapterOptions | None = None,
    segment_of: Callable[[str], str] | None = None,
    dev_from_train: bool = False,
    db: str | Path | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> TrainedAdapter:
    """Train an adapter on a dataset and write its folder, whole or not at all.

    Args:
        dataset: a folder that ``ragwheel build`` wrote.
        out: the adapter's folder: new, empty, or that of an earlier adapter.
        embed: what makes the vectors; see :func:`ragwheel.train.adapter.embedding.embedding`.
        options: how to train.
        segment_of: names the type of a question, for ``AdapterOptions(segments="column")``; by default the
            source of its relevant chunk.
        dev_from_train: hold out queries of ``train``, and leave the ``dev`` split alone. Where ``dev`` has
            fewer than ten questions, some of ``train`` are held out in any case.
        db: the database that the dataset was built from: then the adapter learns from every chunk that was
            exposed, as far as it is believed to be relevant. Without it there are only the labels of the data
            set. The database remembers the folder, so that ``ragwheel
            erase`` finds the adapters that a person's data went into.
        cache: keep vectors on disk, by model and text. False: nothing is written outside of `out`.
        progress: called as work goes on.

    Raises:
        DatasetError: there is no such dataset, or it is damaged.
        ModelError: too few examples, no dev split, vectors that cannot be used, a folder that is something
            else, or a model that does not exist.
        MissingExtra: a package that is needed is not installed.
    """
    options, out = options or AdapterOptions(), Path(out)
    _require(options)
    _check_folder(out, embed, options)
    opened = dataset if not isinstance(dataset, (str, Path)) else open_dataset(dataset)
    store = None if db is None else Path(db)
    encoder = embedding(embed, prompts=options.prompts)

    def vectors(texts: Sequence[str], role: Literal["query", "document"]) -> Any:
        return encoder(texts, role, cache=cache, progress=progress)

    rows, chunks = _rows(opened, None if options.labels == "dataset" else store, dev_from_train)
    names = None
    if options.segments == "column":
        names = list(map(segment_of, rows.questions)) if segment_of is not None else rows.sources
    fit = fit_adapter(
        vectors(rows.questions, "query"), vectors(rows.positives, "document"), _hard(rows, vectors),
        weights=rows.weights, segments=names, exposures=_exposures(chunks, vectors), dev_rows=rows.dev,
        options=options, base=encoder.name, progress=progress,
    )  # fmt: skip
    facts = _facts(opened, fit, options, encoder.name, store)
    _write(out, fit, facts, str(embed) if options.side == "both" else None)
    if db is not None:
        register_artifact(db, "model", out, parents=[opened.folder], subjects=facts.subjects.count)
    return TrainedAdapter(out, fit, facts)


def _rows(
    dataset: BuiltDataset, store: Path | None, dev_from_train: bool
) -> tuple[AdapterRows, list[tuple[str, str, float]]]:
    """What is learned, and every exposed chunk with its belief; by the dataset's labels where no store is."""
    if store is None:
        rows = rows_of_labels(dataset, dev_from_train=dev_from_train)
        return rows, labelled_chunks(dataset, dev_from_train=dev_from_train)
    believed = read_believed(dataset, store)
    rows = rows_of_beliefs(dataset, believed, dev_from_train=dev_from_train)
    return rows, believed_chunks(believed, dev_from_train=dev_from_train)


def _write(out: Path, fit: AdapterFit, facts: ModelFacts, two_sided: str | None) -> None:
    """Write the folder, whole or not at all; ``two_sided``: the model that it is a part of."""
    with replace_folder(out) as folder:
        if two_sided is not None:
            save_two_sided(folder, two_sided, fit.adapter.maps[0])
        else:
            fit.adapter.save(folder)
        write_model_card(folder, facts)


def _check_folder(out: Path, embed: Any, options: AdapterOptions) -> None:
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / MANIFEST).is_file())):
        raise ModelError(f"{out} exists and is no adapter of ragwheel's; name a new folder with --out DIR")
    if options.side == "both" and not isinstance(embed, (str, Path)):
        raise ModelError(
            "a two-sided adapter is saved as a SentenceTransformer: give embed as a model's name"
        )


def _require(options: AdapterOptions) -> None:
    needed = ["safetensors", "pyarrow", *(["torch"] if options.method == "contrastive" else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"ragwheel train adapter needs {', '.join(missing)}, not installed in this Python. "
            "Next: pip install 'ragwheel[train]'"
        )


def _hard(rows: AdapterRows, vectors: Encode) -> Any:
    """Vectors (rows, negatives, d) of the negatives, NaN where a row has fewer; None: there are none."""
    distinct = list(dict.fromkeys(text for texts in rows.negatives for text in texts))
    most = max(map(len, rows.negatives), default=0)
    if not distinct:
        return None
    found = vectors(distinct, "document")
    number = {text: position for position, text in enumerate(distinct)}
    hard = np.full((len(rows.negatives), most, found.shape[1]), np.nan, np.float32)
    for row, texts in enumerate(rows.negatives):
        if texts:
            hard[row, : len(texts)] = found[[number[text] for text in texts]]
    return hard


def _exposures(chunks: Sequence[tuple[str, str, float]], vectors: Encode) -> Exposures | None:
    """Vectors of questions and chunks, and the beliefs; of 2,000 questions at most."""
    asked = sorted({question for question, _, _ in chunks})
    if len(asked) > _MOST_QUESTIONS:
        asked = random.Random(0).sample(asked, _MOST_QUESTIONS)
    kept = frozenset(asked)
    rows = [row for row in chunks if row[0] in kept]
    if not rows:
        return None
    questions, texts, belief = zip(*rows)
    return vectors(questions, "query"), vectors(texts, "document"), belief


def _facts(
    dataset: BuiltDataset, fit: AdapterFit, options: AdapterOptions, base: str, db: Path | None
) -> ModelFacts:
    subjects, told = subjects_of(dataset, db)
    named = bool(base) and "#" not in base
    figures = {"base": fit.base, "adapted": fit.adapted, "low": fit.low, "high": fit.high}
    expected = {} if fit.gain is None else fit.gain.figures
    loader = (
        "from sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer('this/folder')"
        if options.side == "both"
        else "from ragwheel.deploy import Adapter\n\nadapter = Adapter.load('this/folder')"
    )
    return ModelFacts(
        kind="adapter",
        base=base or "a function",
        base_licence=licence_of(base) if named else "unknown",
        dataset_id=dataset.id,
        dataset_path=str(dataset.folder),
        database=str(db or dataset.manifest.get("read", {}).get("database", "")),
        traces=traces_of(dataset),
        subjects=subjects,
        configuration={**asdict(options), "chosen": fit.chosen},
        seeds=(options.seed,),
        figures={
            f"dev {fit.metric}": figures,
            **expected,
            "training questions": fit.n_train,
            "dev questions": fit.n_dev,
        },
        notes=tuple(note for note in (fit.note, told) if note),
        recommended=not fit.adapter.is_identity,
        usage=loader,
    )
