"""An app over a judged collection: its retriever, its users, and the questions that are kept for the test."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import labels.traffic
from labels.worlds import World

from ragwheel.evaluate import Collection, bm25, embedder, hybrid, read_beir
from ragwheel.evaluate.runs import Ranking, scores_of
from ragwheel.evaluate.systems import Searcher
from ragwheel.judgments.relevance import qrels_tables

__all__ = ["APPS", "BASE", "Setting", "capture", "read_setting"]

BASE = "minilm"
APPS = ("base", "bm25", "hybrid")
_DEPTH = 40


@dataclass(frozen=True)
class Setting:
    """A collection in use.

    Args:
        test: the held-out questions with people's judgments; nobody asks them in the traffic.
        train: the questions that the users ask, with people's judgments.
        world: what the simulated users see; rankings are those of the app's retriever.
        app: the retriever, of :data:`APPS`.
    """

    test: Collection
    train: Collection
    world: World
    app: str


def read_setting(folder: Path, app: str) -> Setting:
    """A BEIR folder; where it has no ``qrels.train.tsv``, a third of its conversations is kept for the test.

    Raises:
        DatasetError: it is none, or a test question is in train.
    """
    test, train = _parts(folder)
    hasty = {query: _hasty(text) for query, text in train.queries.items()}
    found, short = _ranked(train, app), _ranked(replace(train, queries=hasty), app)
    rankings = {hasty[query]: ranking for query, ranking in short.items()}
    rankings |= {train.queries[query]: ranking for query, ranking in found.items()}
    grades = {
        train.queries[query]: {one: min(grade, 2) for one, grade in judged.items() if grade > 0}
        for query, judged in train.qrels["evalset"].items()
    }
    wordings = {text: hasty[query] for query, text in train.queries.items()}
    scores = {query: scores_of(ranking) for query, ranking in rankings.items()}
    world = World(folder.name, False, train.corpus, rankings, grades, wordings, scores=scores)
    return Setting(test, train, world, app)


def _parts(folder: Path) -> tuple[Collection, Collection]:
    """The questions of the test and those that are asked."""
    if "train" in qrels_tables(folder):
        return read_beir(folder, split="test"), read_beir(folder, split="train")
    whole = read_beir(folder)
    judged = whole.qrels["evalset"]
    talks = {query: whole.clusters.get(query, query) for query in judged}
    names = sorted(set(talks.values()))
    random.Random(0).shuffle(names)
    kept = frozenset(names[: len(names) // 3])
    test, train = (
        {query: grades for query, grades in judged.items() if (talks[query] in kept) is tested}
        for tested in (True, False)
    )
    seen = frozenset(document for grades in train.values() for document, grade in grades.items() if grade > 0)
    return replace(whole, qrels={"evalset": test}, seen=seen), replace(whole, qrels={"evalset": train})


def capture(db: Path, setting: Setting, traffic: str, asked: int, seed: int) -> int:
    """Simulated users ask every question of train ``asked`` times; returns the number of turns."""
    who = replace(labels.traffic.TRAFFIC[traffic], asked=asked, captured=_DEPTH)
    return labels.traffic.drive(db, setting.world, who, seed)


def _ranked(collection: Collection, app: str) -> Mapping[str, Ranking]:
    words, model = bm25(), embedder(BASE, "base")
    system = {"bm25": words, "base": model, "hybrid": hybrid(words, model)}[app]
    found = system.search(collection, Searcher(depth=_DEPTH))
    # an app shows something even where no word matches
    rest = list(collection.corpus)[:_DEPTH]
    return {query: _filled(found.get(query, Ranking(())), rest) for query in collection.queries}


def _filled(ranking: tuple[str, ...], rest: Sequence[str]) -> Ranking:
    """A ranking of 40 documents; what is added scores as low as the last."""
    scores = scores_of(ranking)
    lowest = min(scores.values(), default=0.0)
    documents = [*dict.fromkeys([*ranking, *rest])][:_DEPTH]
    return Ranking(documents, (scores.get(document, lowest) for document in documents))


def _hasty(text: str) -> str:
    words = text.split()
    return " ".join(words[: max(2, len(words) // 2)])
