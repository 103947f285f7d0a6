"""Datasets of one layout from three kinds of labels: the traces', the naive recipe's, and people's.

All three have the same questions in ``dev``, so that the same trainer picks its checkpoint alike; each looks
at labels of its own kind there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from labels.systems import naive

from flywheel.setting import Setting
from ragwheel.datasets import BuildOptions, build
from ragwheel.datasets.assemble import Assembler
from ragwheel.datasets.options import SPLITS
from ragwheel.datasets.splits import Group
from ragwheel.datasets.writer import MANIFEST, RowWriter, checksums, schemas
from ragwheel.files import replace_folder
from ragwheel.labels import load_policy
from ragwheel.labels.negatives import GradedChunk
from ragwheel.labels.traces.text import query_key

__all__ = ["LABELS", "NEGATIVES", "Pairs", "make"]

#: What is trained on: ragwheel's reading of the traces; clicked, cited or liked against the rest of the
#: ranking; people's judgments, with the best-ranked others as negatives.
LABELS = ("traces", "naive", "people")
NEGATIVES = 4
_FORMATS = ("st-triplet", "st-ntuple")
_HARD = range(20)

Pairs = Mapping[str, tuple[list[str], list[str]]]
"""Relevant and irrelevant chunk ids by question."""


def make(kind: str, out: Path, setting: Setting, db: Path, traces: Path, seed: int) -> dict[str, Any]:
    """Write a dataset folder; returns what is worth telling about its labels.

    Args:
        kind: of :data:`LABELS`.
        out: the folder.
        setting: whose questions and judgments.
        db: the traffic.
        traces: the dataset of the kind ``traces``, whose splits the others take.
        seed: of the order of rows.
    """
    if kind == "traces":
        options = BuildOptions(formats=_FORMATS, negatives=NEGATIVES, seed=seed, dev=0.1, test=0.0)
        build(db, out, options=options)
    else:
        pairs = _naive(db, setting) if kind == "naive" else _people(setting)
        _write(out, pairs, setting, _splits(traces), seed)
    return _checked(out, setting)


def _naive(db: Path, setting: Setting) -> Pairs:
    found: dict[str, tuple[list[str], list[str]]] = {}
    labels = naive(db, setting.world.needs)
    for place, pairs in enumerate((labels.positives, labels.negatives)):
        for question, chunk in sorted(pairs):
            found.setdefault(question, ([], []))[place].append(chunk)
    return found


def _people(setting: Setting) -> Pairs:
    found = {}
    for question, judged in setting.world.grades.items():
        ranking = [chunk for chunk in setting.world.rankings[question] if chunk not in judged]
        found[question] = (sorted(judged), [ranking[place] for place in _HARD if place < len(ranking)])
    return found


def _splits(folder: Path) -> dict[str, str]:
    table = pq.read_table(folder / "splits.parquet")
    return dict(zip(table["query_key"].to_pylist(), table["split"].to_pylist()))


def _write(out: Path, pairs: Pairs, setting: Setting, splits: Mapping[str, str], seed: int) -> None:
    """The layout of ``ragwheel build`` by its own writer; every label is sure of itself."""
    balance, dropped = load_policy(None).balance, Counter[str]()
    makers = {split: Assembler(balance, negatives=NEGATIVES, seed=seed, dropped=dropped) for split in SPLITS}
    number = {chunk: n for n, chunk in enumerate(setting.world.texts)}
    with replace_folder(out) as folder:
        with RowWriter(folder, schemas(NEGATIVES), jsonl=False) as writer:
            for question, (relevant, others) in sorted(pairs.items()):
                key = query_key(question)
                group = Group(key, key, question, 0)
                chunks = list(_graded(relevant, "positive", setting, number))
                negatives = list(_graded(others, "negative", setting, number))
                split = splits.get(key, "train")
                for row in makers[split].rows(group, chunks, negatives):
                    writer.add(split, group, row)
        manifest = {"made_by": "ragwheel", "ragwheel": "benchmark", "read": {}, "rows": writer.counts,
                    "sha256": checksums(folder)}  # fmt: skip
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), "utf-8")


def _graded(
    chunks: list[str], status: str, setting: Setting, number: Mapping[str, int]
) -> Iterator[GradedChunk]:
    for chunk in chunks:
        text = setting.world.texts[chunk]
        grade = 5.0 if status == "positive" else 0.0
        yield GradedChunk(
            number[chunk], "kb", chunk, number[chunk], text, status, grade, 1.0,
            None if status == "positive" else "passed_over", None, (),
        )  # fmt: skip


def _checked(out: Path, setting: Setting) -> dict[str, Any]:
    """Rows, and how many of the labels in train people agree with."""
    manifest = json.loads((out / MANIFEST).read_text("utf-8"))
    pairs = pq.read_table(out / "pairs" / "train.parquet").to_pydict()
    digest = {_digest(text): chunk for chunk, text in setting.world.texts.items()}
    questions, right, told = set(), Counter[bool](), Counter[bool]()
    for question, text, label in zip(pairs["query"], pairs["document"], pairs["label"]):
        need = question if question in setting.world.grades else _need(setting, question)
        positive = label >= 0.6
        told[positive] += 1
        right[positive] += (digest.get(_digest(text)) in setting.world.grades.get(need, {})) == positive
        if positive:
            questions.add(need)
    return {
        "rows": {config: counts["train"] for config, counts in manifest["rows"].items()},
        "questions": len(questions),
        "positives": told[True],
        "positives_right": right[True],
        "negatives": told[False],
        "negatives_right": right[False],
    }


def _need(setting: Setting, wording: str) -> str:
    """The question behind a hasty wording."""
    return next((q for q, short in setting.world.short.items() if short == wording), wording)


def _digest(text: str) -> bytes:
    return blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
