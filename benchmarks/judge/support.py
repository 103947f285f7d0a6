#!/usr/bin/env python3
"""Does the support check agree with experts? Fitted on half of ExpertQA's questions, read on the rest.

    python benchmarks/judge/support.py --data FOLDER           # FOLDER holds expertqa_citations/
    python benchmarks/judge/support.py --data FOLDER --fit     # ... and what one fixed half asks for now

Sentences with cited text whose support experts judged complete or incomplete; partial ones are reported
beside them, counted as not supported. Always-yes has a balanced accuracy of .50.

The figure to quote is that of the random halves. The three readings were chosen while both halves of one
fixed split were looked at, and the weights that ship were fitted on its first half: what its second half says
of them is better than new questions will say.
"""

from __future__ import annotations

import argparse
import json
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ragwheel.llm_judge import check_support
from ragwheel.llm_judge.support import FEATURES, Support

HALVES = 40
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.float64]


def main() -> None:
    """Read, check, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    pairs, said, questions = read(given.data / "expertqa_citations" / "answers.jsonl")
    found = check_support(pairs)
    held_out = np.array([blake2b(one.encode(), digest_size=1).digest()[0] % 2 == 1 for one in questions])
    support = np.array(said)
    for name, used in (
        ("complete / incomplete", support != "Partial"),
        ("complete / the rest", support != ""),
    ):
        halves(name, found, support == "Complete", used, np.array(questions))
        for half, rows in (("fitted on", ~held_out & used), ("the other", held_out & used)):
            report(f"{name}, as shipped, {half}", found, support == "Complete", rows)
    if given.fit:
        fit(found, support == "Complete", ~held_out & (support != "Partial"))


def read(path: Path) -> tuple[list[tuple[str, list[str]]], list[str], list[str]]:
    """Sentences with their cited texts, what experts said of them, and the questions."""
    pairs, said, questions = [], [], []
    for line in path.read_text("utf-8").splitlines():
        answer = json.loads(line)
        for claim in answer["claims"]:
            texts = [one["text"] for one in claim["evidence"] if (one["text"] or "").strip()]
            if texts and claim["support"] in ("Complete", "Partial", "Incomplete"):
                pairs.append((claim["text"], texts))
                said.append(claim["support"])
                questions.append(answer["question"])
    return pairs, said, questions


def balanced(predicted: Bools, right: Bools) -> float:
    """The mean of the two classes' recalls."""
    return float((predicted[right].mean() + (~predicted[~right]).mean()) / 2)


def halves(
    name: str, found: list[Support], right: Bools, used: Bools, questions: npt.NDArray[np.str_]
) -> None:
    """One line: weights fitted on a random half of the questions, read on the sentences of the others."""
    values = np.array([one.readings for one in found])
    every, seen = np.unique(questions[used]), []
    for seed in range(HALVES):
        mine = np.random.default_rng(seed).permutation(every)[: len(every) // 2]
        fitting = np.isin(questions, mine)
        weights, intercept = fitted(values[fitting & used], right[fitting & used])
        rest = ~fitting & used
        seen.append(balanced(values[rest] @ weights + intercept >= 0, right[rest]))
    low, high = np.quantile(seen, (0.1, 0.9))
    print(
        f"{name}, {HALVES} random halves of the questions: balanced accuracy on the rest {np.mean(seen):.3f} "
        f"(10-90 %: {low:.3f}-{high:.3f})"
    )


def report(name: str, found: list[Support], right: Bools, rows: Bools) -> None:
    """One line: balanced accuracy with the interval of resampled sentences."""
    predicted = np.array([one.supported for one in found])[rows]
    truth = right[rows]
    draw = np.random.default_rng(0).integers(0, len(truth), (1000, len(truth)))
    low, high = np.quantile([balanced(predicted[one], truth[one]) for one in draw], (0.025, 0.975))
    print(
        f"{name}: {len(truth)} sentences, {truth.mean():.0%} supported, balanced accuracy "
        f"{balanced(predicted, truth):.3f} [{low:.3f}, {high:.3f}]"
    )


def fit(found: list[Support], right: Bools, rows: Bools) -> None:
    """What logistic regression gives on the fitting half, both classes weighing the same."""
    weights, intercept = fitted(np.array([one.readings for one in found])[rows], right[rows])
    named = ", ".join(f"{name} {value:.3f}" for name, value in zip(FEATURES, weights))
    print(f"fitted: {named}, intercept {intercept:.3f}")


def fitted(values: Rows, right: Bools) -> tuple[Rows, float]:
    """Weights and intercept of logistic regression, both classes weighing the same."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(class_weight="balanced").fit(values, right)
    return model.coef_[0], float(model.intercept_[0])


if __name__ == "__main__":
    main()
