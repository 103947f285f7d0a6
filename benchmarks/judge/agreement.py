#!/usr/bin/env python3
"""How the offline judges agree with people, on completely judged questions.

    python benchmarks/judge/agreement.py --data FOLDER             # FOLDER holds noveleval/ and scifact/
    python benchmarks/judge/agreement.py --data FOLDER --judge overlap

NovelEval: every passage of 21 questions was graded by hand 0-2 (here 0, 3, 5). The steps at which scores
become grades were chosen after a sweep that printed both halves of these questions: neither is held out.
SciFact: claims beside the abstract that experts cited (5), and beside the three other abstracts that share
the most words with it (0).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

from ragwheel.labels.traces.text import tokens
from ragwheel.llm_judge import Agreement, agreement, scorer
from ragwheel.llm_judge.prompts import Ask

LEVELS = {0: 0, 1: 3, 2: 5}
CLAIMS = 100
OTHERS = 3


def main() -> None:
    """Read, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--judge", action="append", help="overlap, minilm or a model folder")
    given = parser.parse_args()
    novel, scifact = noveleval(given.data / "noveleval"), claims(given.data / "scifact")
    for name in given.judge or ["overlap", "minilm"]:
        by = scorer(name)
        rows = list(zip(novel, by.grades([ask for _place, ask, _grade in novel])))
        show(f"{by.name}, noveleval", [(grade, found) for (_place, _ask, grade), found in rows])
        for half, odd in (("even", 0), ("odd", 1)):
            some = [(grade, found) for (place, _ask, grade), found in rows if place % 2 == odd]
            show(f"{by.name}, noveleval, {half}-numbered questions", some)
        graded = by.grades([ask for ask, _grade in scifact])
        show(f"{by.name}, scifact", [(grade, found) for (_ask, grade), found in zip(scifact, graded)])


def noveleval(folder: Path) -> list[tuple[int, Ask, int]]:
    """The question's place, the question beside a passage, and people's grade."""
    texts, queries = corpus(folder), lines(folder / "queries.jsonl")
    place = {one["_id"]: n for n, one in enumerate(queries)}
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        rows = [
            (row["query-id"], row["corpus-id"], int(row["score"]))
            for row in csv.DictReader(file, delimiter="\t")
        ]
    return [
        (place[query], Ask(queries[place[query]]["text"], (texts[doc],)), LEVELS[score])
        for query, doc, score in rows
    ]


def claims(folder: Path) -> list[tuple[Ask, int]]:
    """A hundred claims beside what experts cited, and beside what only sounds like it."""
    texts = corpus(folder)
    words = {doc: tokens(text) for doc, text in texts.items()}
    relevant: dict[str, set[str]] = {}
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            relevant.setdefault(row["query-id"], set()).add(row["corpus-id"])
    queries = [one for one in lines(folder / "queries.jsonl") if one["_id"] in relevant]
    found = []
    for one in random.Random(0).sample(queries, CLAIMS):
        wanted, right = tokens(one["text"]), relevant[one["_id"]]
        others = sorted(
            (doc for doc in texts if doc not in right), key=lambda doc: (-len(wanted & words[doc]), doc)
        )
        found += [(Ask(one["text"], (texts[doc],)), 5) for doc in sorted(right)]
        found += [(Ask(one["text"], (texts[doc],)), 0) for doc in others[:OTHERS]]
    return found


def corpus(folder: Path) -> dict[str, str]:
    """Titles and texts by id."""
    return {
        one["_id"]: f"{one.get('title') or ''} {one['text']}".strip()
        for one in lines(folder / "corpus.jsonl")
    }


def lines(path: Path) -> list[dict[str, str]]:
    """JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def show(name: str, rows: Sequence[tuple[float, float]]) -> None:
    """Kappas and the confusion table."""
    found: Agreement = agreement([grade for grade, _ in rows], [judged for _, judged in rows])
    print(
        f"{name}: {found.pairs} pairs, kappa {found.kappa}, quadratic {found.kappa_quadratic}, "
        f"useful or not {found.kappa_useful}"
    )
    for grade, row in enumerate(found.confusion):
        if any(row):
            print(f"    person {grade}  judge 0-5: " + " ".join(f"{n:4}" for n in row))


if __name__ == "__main__":
    main()
