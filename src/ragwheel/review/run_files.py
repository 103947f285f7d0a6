"""Rankings of TREC run files, for the comparison of two systems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ragwheel.errors import ConfigurationError
from ragwheel.store.reviews import questions_and_chunks, reading_rows
from ragwheel.words import query_key

__all__ = ["run_rankings"]


def run_rankings(db: Path, paths: Sequence[Path]) -> Mapping[str, Mapping[str, Sequence[int]]]:
    """Return question -> run -> chunk versions of run files whose ids are those of the store.

    A query id is the question itself (``_`` for blanks) or the name of its query group; a document id is the
    app's chunk id, or as :func:`ragwheel.datasets.document_ids.document_id` makes it.

    Raises:
        ConfigurationError: no question or no document of the files is in the store.
        DatasetError: a file cannot be read.
    """
    from ragwheel.datasets.document_ids import document_id
    from ragwheel.evaluate.runs import read_run

    with reading_rows(db) as connection:
        questions, chunks = questions_and_chunks(connection)
    versions = {chunk: number for _source, chunk, number in chunks}
    versions |= {document_id(source, chunk): number for source, chunk, number in chunks}
    by_id = {query_key(question): question for question in questions}
    by_id |= {question.replace(" ", "_"): question for question in questions}
    by_id |= {question: question for question in questions}
    rankings: defaultdict[str, dict[str, Sequence[int]]] = defaultdict(dict)
    for number, path in enumerate(paths, 1):
        run = read_run(path)
        name = path.stem if len({each.stem for each in paths}) == len(paths) else f"{path.stem} {number}"
        for query_id, documents in run.rankings.items():
            ranking = [versions[document] for document in documents if document in versions]
            if query_id in by_id and ranking:
                rankings[by_id[query_id]][name] = ranking
    both = {question: sides for question, sides in rankings.items() if len(sides) == len(paths)}
    if not both:
        raise ConfigurationError(
            f"--run: {', '.join(map(str, paths))} have no question and chunk of {db} in common. "
            f"Expected query ids that are questions or names of query groups, and the app's chunk ids"
        )
    return both
