"""Rankings of many queries by one system, and TREC's files of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragwheel.errors import DatasetError
from ragwheel.evaluate.collection import Qrels

__all__ = ["Ranking", "Run", "ranked", "read_run", "scores_of", "write_qrels", "write_run"]


class Ranking(tuple[str, ...]):  # noqa: SLOT001 - the scores are an attribute
    """Document ids, best first, with the system's scores where it has any: what fusion and features read.

    Args:
        documents: ids.
        scores: of each; empty where the system gives none.
    """

    scores: tuple[float, ...]

    def __new__(cls, documents: Iterable[str], scores: Iterable[float] = ()) -> Ranking:  # noqa: D102
        ranking = super().__new__(cls, documents)
        ranking.scores = tuple(scores)
        return ranking

    def __getnewargs__(self) -> tuple[tuple[str, ...], tuple[float, ...]]:
        return tuple(self), self.scores

    @classmethod
    def of(cls, scored: Sequence[tuple[str, float]]) -> Ranking:
        """The ranking of ``(id, score)``, which come best first."""
        return cls((document for document, _ in scored), (score for _, score in scored))


def scores_of(ranking: tuple[str, ...]) -> dict[str, float]:
    """The scores of a ranking by document id; empty where its system gives none."""
    return dict(zip(ranking, ranking.scores)) if isinstance(ranking, Ranking) else {}


@dataclass(frozen=True)
class Run:
    """One system's rankings.

    Args:
        name: of the system.
        rankings: document ids by query id, best first.

    Raises:
        DatasetError: a document stands twice in a ranking.
    """

    name: str
    rankings: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        for query, ranking in self.rankings.items():
            if len(set(ranking)) < len(ranking):
                twice = next(
                    document for index, document in enumerate(ranking) if document in ranking[:index]
                )
                raise DatasetError(
                    f"{self.name} ranks the document {twice!r} twice for the query {query!r}; each may stand "
                    f"there once. Take out the later ones."
                )

    def check(
        self, queries: Mapping[str, str], corpus: Mapping[str, str], *, may_be_empty: bool = False
    ) -> tuple[str, ...]:
        """Compare its ids with those of a collection.

        Args:
            queries, corpus: texts by id.
            may_be_empty: whether no ranking at all is a result instead of a mistake.

        Returns:
            What a reader of the figures should know, for example how many queries have no ranking.

        Raises:
            DatasetError: no ranking of any query, or only documents that the corpus does not have.
        """
        answered = [query for query in queries if self.rankings.get(query)]
        if not any(self.rankings.values()):
            if may_be_empty:
                return (f"{self.name} found nothing for any of the {len(queries)} queries: 0 everywhere",)
            raise DatasetError(f"{self.name} ranked nothing for any of the {len(queries)} queries.")
        if not answered:
            raise DatasetError(
                f"{self.name} has no ranking for any of the {len(queries)} queries: its {len(self.rankings)} "
                f"query ids are others, for example {next(iter(self.rankings))!r} where "
                f"{next(iter(queries))!r} was expected."
            )
        documents = {document for query in answered for document in self.rankings[query]}
        foreign = sorted(documents - corpus.keys())
        if len(foreign) == len(documents):
            raise DatasetError(
                f"None of the {len(documents)} documents that {self.name} ranks is in the corpus, for "
                f"example {foreign[0]!r} where ids like {next(iter(corpus))!r} were expected."
            )
        notes = []
        if len(answered) < len(queries):
            notes.append(
                f"{self.name} ranks nothing for {len(queries) - len(answered)} of {len(queries)} queries: 0"
            )
        if foreign:
            notes.append(
                f"{len(foreign)} of {len(documents)} documents that {self.name} ranks are not in the corpus, "
                f"for example {foreign[0]}"
            )
        return tuple(notes)

    def scored(self, queries: Mapping[str, object]) -> Iterator[tuple[str, str, float]]:
        """Query id, document id and a score that falls with the rank, as the field's tools want it."""
        for query in queries:
            ranking = self.rankings.get(query, ())
            yield from ((query, document, float(len(ranking) - n)) for n, document in enumerate(ranking))


def ranked(scores: Sequence[tuple[str, float]], what: str) -> Ranking:
    """Document ids by falling score, with the scores; equal ones as trec_eval puts them, by falling id.

    Raises:
        DatasetError: a score is NaN.
    """
    for document, score in scores:
        if math.isnan(score):
            raise DatasetError(
                f"{what}: the score of {document!r} is NaN, so it has no rank. Is the model damaged?"
            )
    return Ranking.of(sorted(scores, key=lambda hit: (hit[1], hit[0]), reverse=True))


def read_run(path: str | Path, name: str | None = None) -> Run:
    """A TREC run file: ``query Q0 document rank score tag`` a line; scores decide the order.

    Raises:
        DatasetError: the file cannot be read, a line is something else, a score is NaN.
    """
    path = Path(path)
    hits: dict[str, list[tuple[str, float]]] = {}
    try:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            parts = line.split()
            if len(parts) != 6:
                raise DatasetError(
                    f"{path}, line {number}: got {len(parts)} columns, expected 6: query Q0 document rank "
                    f"score tag."
                )
            hits.setdefault(parts[0], []).append((parts[2], float(parts[4])))
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}.") from exc
    except ValueError as exc:
        raise DatasetError(
            f"{path} is not a TREC run file: {exc}. Expected: query Q0 document rank score tag."
        ) from exc
    return Run(
        name or path.stem,
        {query: ranked(scores, f"{path}, query {query}") for query, scores in hits.items()},
    )


def write_run(path: Path, run: Run) -> None:
    """Write a TREC run file; scores are those of :meth:`Run.scored`."""
    tag = "".join(sign if sign.isalnum() or sign in "-._" else "-" for sign in run.name)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for query, ranking in run.rankings.items():
            for n, document in enumerate(ranking):
                file.write(f"{query} Q0 {document} {n + 1} {float(len(ranking) - n)} {tag}\n")


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write TREC's table of judgments."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for query, grades in qrels.items():
            file.writelines(f"{query} 0 {document} {grade}\n" for document, grade in grades.items())
