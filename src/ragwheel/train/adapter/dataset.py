"""From a built data set to an adapter folder: :func:`train_adapter`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.datasets import open_dataset
from ragwheel.errors import MissingExtra, ModelError
from ragwheel.files import replace_folder
from ragwheel.models.card import MANIFEST, ModelFacts, write_model_card
from ragwheel.models.loading import licence_of
from ragwheel.store.artifacts import register_artifact
from ragwheel.train.adapter.embedding import Embedding, embedding
from ragwheel.train.adapter.fit import AdapterFit, Progress, fit_adapter
from ragwheel.train.adapter.options import MIN_DEV_QUERIES, MIN_QUERIES, AdapterOptions
from ragwheel.train.adapter.two_sided import save_two_sided
from ragwheel.train.examples import Examples, read_examples
from ragwheel.train.finish import subjects_of, traces_of

if TYPE_CHECKING:
    from ragwheel.datasets import BuiltDataset

__all__ = ["TrainedAdapter", "train_adapter"]

_KEPT: Final = 0.95  # share of the questions that n-tuples must keep to be preferred to triplets


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
    """Train an adapter on a data set's triplets and write its folder, whole or not at all.

    Args:
        dataset: a folder that ``ragwheel build`` wrote.
        out: the adapter's folder: new, empty, or that of an earlier adapter.
        embed: what makes the vectors; see :func:`ragwheel.train.adapter.embedding.embedding`.
        options: how to train.
        segment_of: names the type of a question, for ``AdapterOptions(segments="column")``; by default the
            source of its relevant chunk.
        dev_from_train: hold out queries of ``train`` where the data set has no ``dev`` split.
        db: the database that the data set was built from; it remembers the folder, so that ``ragwheel
            erase`` finds the adapters that a person's data went into.
        cache: keep vectors on disk, by model and text. False: nothing is written outside of `out`.
        progress: called as work goes on.

    Raises:
        DatasetError: there is no such data set, or it is damaged.
        ModelError: too few examples, no dev split, vectors that cannot be used, a folder that is something
            else, or a model that does not exist.
        MissingExtra: a package that is needed is not installed.
    """
    options = options or AdapterOptions()
    _require(options)
    out = Path(out)
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / MANIFEST).is_file())):
        raise ModelError(f"{out} exists and is no adapter of ragwheel's; name a new folder with --out DIR")
    if options.side == "both" and not isinstance(embed, (str, Path)):
        raise ModelError(
            "a two-sided adapter is saved as a SentenceTransformer: give embed as a model's name"
        )
    opened = dataset if not isinstance(dataset, (str, Path)) else open_dataset(dataset)
    encoder = embedding(embed)
    rows, n_train = _rows(opened, dev_from_train=dev_from_train)
    queries, positives, negatives = _columns(rows)
    asked = encoder(queries, "query", cache=cache, progress=progress)
    found = encoder(positives, "document", cache=cache, progress=progress)
    hard = _hard(negatives, encoder, cache, progress)
    fit = fit_adapter(
        asked, found, hard,
        weights=rows.confidence,
        segments=_segments(opened, rows, n_train, segment_of) if options.segments == "column" else None,
        dev_rows=None if n_train == len(rows) else np.arange(len(rows)) >= n_train,
        options=options, base=encoder.name, progress=progress,
    )  # fmt: skip
    facts = _facts(opened, fit, options, encoder.name, Path(db) if db is not None else None)
    with replace_folder(out) as folder:
        if options.side == "both":
            save_two_sided(folder, str(embed), fit.adapter.maps[0])
        else:
            fit.adapter.save(folder)
        write_model_card(folder, facts)
    if db is not None:
        register_artifact(db, "model", out, parents=[opened.folder], subjects=facts.subjects.count)
    return TrainedAdapter(out, fit, facts)


def _require(options: AdapterOptions) -> None:
    needed = ["safetensors", "pyarrow", *(["torch"] if options.method == "contrastive" else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"ragwheel train adapter needs {', '.join(missing)}, not installed in this Python. "
            "Next: pip install 'ragwheel[train]'"
        )


def _rows(dataset: BuiltDataset, *, dev_from_train: bool) -> tuple[Examples, int]:
    """Rows of train, then of dev (none when it is held out of train), and how many of them are train."""
    config = "ntuples" if _all_there(dataset) else "triplets"
    train, dev = (read_examples(dataset, config, split) for split in ("train", "dev"))
    if train.questions < MIN_QUERIES:
        raise ModelError(
            f"{dataset.folder} has {train.questions} training questions with a positive and a negative, an "
            f"adapter needs {MIN_QUERIES}, better 200. Until then: examples in prompts (ragwheel fewshot). "
            "Next: ragwheel status"
        )
    if dev.questions < MIN_DEV_QUERIES:
        if not dev_from_train:
            raise ModelError(
                f"{dataset.folder} has {dev.questions} dev questions, {MIN_DEV_QUERIES} are needed to tell a "
                "better adapter from a worse one. Build again with more traces or a larger dev share, or "
                "hold questions of train out with --dev-from-train"
            )
        return train, len(train)
    columns = {name: [*values, *dev.columns[name]] for name, values in train.columns.items()}
    return Examples(config, columns, [*train.confidence, *dev.confidence]), len(train)


def _all_there(dataset: BuiltDataset) -> bool:
    """Whether n-tuples are written, and hardly a question is missing for having too few negatives for one."""
    if "ntuples" not in dataset.configs:
        return False
    tuples, triplets = (
        set(dataset.rows(name, "train")["anchor"].to_pylist()) for name in ("ntuples", "triplets")
    )
    return len(tuples) >= _KEPT * len(triplets)


def _columns(rows: Examples) -> tuple[list[str], list[str], list[list[str]]]:
    negatives = [values for name, values in rows.columns.items() if name.startswith("negative")]
    return rows.columns["anchor"], rows.columns["positive"], negatives


def _hard(negatives: list[list[str]], encoder: Embedding, cache: bool, progress: Progress | None) -> Any:
    """Vectors (rows, negatives, d) of the columns of negatives."""
    found = [encoder(column, "document", cache=cache, progress=progress) for column in negatives]
    return np.stack(found, axis=1) if found else None


def _segments(
    dataset: BuiltDataset, rows: Examples, n_train: int, segment_of: Callable[[str], str] | None
) -> list[str]:
    if segment_of is not None:
        return [segment_of(question) for question in rows.columns["anchor"]]
    names: list[str] = []
    for split, count in (("train", n_train), ("dev", len(rows) - n_train)):
        table = dataset.provenance(rows.config, split)
        source = {
            row: name
            for row, role, name in zip(*(table[c].to_pylist() for c in ("row", "role", "source")))
            if role == "positive"
        }
        names += [source.get(row, "") for row in range(count)]
    return names


def _facts(
    dataset: BuiltDataset, fit: AdapterFit, options: AdapterOptions, base: str, db: Path | None
) -> ModelFacts:
    subjects, told = subjects_of(dataset, db)
    named = bool(base) and "#" not in base
    figures = {"base": fit.base, "adapted": fit.adapted, "low": fit.low, "high": fit.high}
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
        figures={f"dev {fit.metric}": figures, "training questions": fit.n_train, "dev questions": fit.n_dev},
        notes=tuple(note for note in (fit.note, told) if note),
        recommended=not fit.adapter.is_identity,
        usage=loader,
    )
