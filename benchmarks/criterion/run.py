#!/usr/bin/env python3
"""Which criterion chooses well? Many trained candidates, on many collections, for many random crowds.

    python benchmarks/criterion/run.py --data FOLDER --out FOLDER          # development: seeds 0 to 4
    python benchmarks/criterion/run.py --data FOLDER --out FOLDER --first-seed 1000 --summary     # a report

The folder of ``--data`` holds ``scifact/``, ``mtrag_human_sub/`` and ``expertqa_citations/``; the collection
``python`` is this interpreter's own documentation. Each seed draws a crowd that uses an app over each
collection. About 28 candidates are trained on what its store says, and every criterion orders them. Beside
that stands what people's labels say of questions that nobody asked: what the chosen candidate loses against
the best one is the criterion's *regret*. What is finished stays in ``--out``; a later run goes on there.

Seeds below 100 are for development. Seeds from 1,000 on are for reports only: choose no criterion by them.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # import this folder as the package `criterion`

from labels.summary import put_into

from criterion.candidates import DEPTH, Tried, try_all
from criterion.criteria import _DISCOUNT, Case
from criterion.crowded import Labelled, TooFewQuestions, label
from criterion.settings import COLLECTIONS
from criterion.tables import tables

__all__ = ["main"]

DOCS: Final = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
MARKER: Final = "benchmarks/criterion"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="folder with the collections")
    options.add_argument("--out", type=Path, required=True, help="folder of what is finished")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--seeds", type=int, default=5, help="crowds per collection (default: 5)")
    options.add_argument("--collections", nargs="+", choices=list(COLLECTIONS), default=list(COLLECTIONS))
    options.add_argument("--seconds", type=float, default=np.inf, help="begin no crowd after so many seconds")
    options.add_argument(
        "--summary", nargs="?", const=DOCS, type=Path, metavar="FILE",
        help="write the tables between the markers in FILE, too (default: docs/evaluation.md)",
    )  # fmt: skip
    return options


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    asked = parser().parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    began, cases = time.monotonic(), []
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for name in asked.collections:
            path = asked.out / f"{name}-{seed}.pickle"
            if not path.is_file():
                if time.monotonic() - began > asked.seconds:
                    continue
                case = _case(name, seed, asked.data)
                part = path.with_suffix(".part")
                part.write_bytes(pickle.dumps(case))
                part.replace(path)
            case = pickle.loads(path.read_bytes())
            if case is not None:
                cases.append(case)
    if not cases:
        print("No crowd left enough questions.")
        return
    text = tables(cases)
    print(text)
    if asked.summary:
        put_into(asked.summary, text, MARKER)


def _case(name: str, seed: int, data: Path) -> Case | None:
    began = time.monotonic()
    try:
        labelled = label(name, seed, data)
    except TooFewQuestions as exc:
        print(f"{name}, seed {seed}: left out, {exc}", file=sys.stderr, flush=True)
        return None
    labelled_s = time.monotonic() - began
    tried = try_all(labelled, seed)
    case = _compared(name, seed, labelled, tried)
    gains = case.gains
    print(
        f"{name}, seed {seed}: {len(labelled.questions)} questions, app {case.app}, labels in "
        f"{labelled_s:.0f} s, {len(case.names)} candidates in {time.monotonic() - began - labelled_s:.0f} s; "
        f"gains {gains.min():+.3f} to {gains.max():+.3f} ({case.names[int(gains.argmax())]})",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    return case


def _compared(name: str, seed: int, labelled: Labelled, tried: Tried) -> Case:
    """What the criteria see, and the truth."""
    setting = labelled.setting
    number = {chunk: n for n, chunk in enumerate(setting.world.texts)}
    needs = setting.world.needs
    relevant = [
        np.array(sorted(number[chunk] for chunk in setting.world.grades[needs[question]]))
        for question in labelled.questions
    ]
    m, n, k = len(number), len(labelled.questions), len(tried.names)
    ranks, missing = [], np.zeros((k, n))
    exposed = np.zeros((n, DEPTH), bool)
    drift = np.full((k, n, DEPTH), DEPTH + 1, np.int16)
    for question, (chunks, _) in enumerate(labelled.beliefs):
        place = np.full((k, m), DEPTH + 1)
        first = tried.ranked[:, question]
        np.put_along_axis(place, first, np.arange(1, first.shape[1] + 1)[None], axis=1)
        ranks.append(place[:, chunks])
        exposed[question, : first.shape[1]] = np.isin(first[0], chunks)
        drift[:, question, : first.shape[1]] = place[:, first[0]]
        unseen = np.setdiff1d(relevant[question], chunks)
        missing[:, question] = _DISCOUNT[place[:, unseen] - 1].sum(axis=1)
    return Case(
        collection=name, seed=seed, app=setting.app, names=tried.names, truth=tried.truth,
        query=np.repeat(np.arange(n), [len(chunks) for chunks, _ in labelled.beliefs]),
        belief=np.concatenate([belief for _, belief in labelled.beliefs]),
        positive=np.concatenate(
            [np.isin(chunks, some) for (chunks, _), some in zip(labelled.beliefs, labelled.positives)]
        ),
        people=np.concatenate(
            [np.isin(chunks, some) for (chunks, _), some in zip(labelled.beliefs, relevant)]
        ),
        ranks=np.concatenate(ranks, axis=1), likelihood=np.concatenate(tried.likelihood, axis=1),
        fold=labelled.fold, exposed=exposed, drift=drift, people_missing=missing,
        relevant=np.array([len(some) for some in relevant]), novelty=tried.novelty, test_new=tried.test_new,
    )  # fmt: skip


if __name__ == "__main__":
    main()
