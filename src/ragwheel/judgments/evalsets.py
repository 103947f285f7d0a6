"""Import of evaluation sets, whose chunks are matched with the store's, for training or for a test."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ragwheel.errors import JudgmentError
from ragwheel.judgments.examples import EvalFormat, EvalSet, GradedPassage, read_evalset
from ragwheel.labels.traces.text import jaccard, normalise, query_key, tokens
from ragwheel.store.judging import EvalsetUse, JudgmentRow, JudgmentWriter, writing_judgments

__all__ = ["EvalsetReport", "import_evalset"]

#: Least token Jaccard at which a text of the set and one of the store are the same passage.
NEAR_TEXT: Final = 0.9
#: Least token Jaccard at which equal ids are the same chunk.
SAME_ID: Final = 0.5
_VERSION: Final = re.compile(r"@\d+$")
_NAME: Final = re.compile(r"[\w.:-]{1,80}")


@dataclass(frozen=True)
class EvalsetReport:
    """The result of importing an evaluation set.

    ``chunks`` counts the chunks by how they were matched: ``id``, ``text`` (equal), ``near`` (token Jaccard
    of 0.9 or more) or ``added``. ``refused`` counts the refused examples by reason.
    """

    name: str
    use: EvalsetUse
    format: EvalFormat
    queries: int
    judgments: int
    new: int
    chunks: Mapping[str, int]
    refused: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def import_evalset(
    db: str | Path,
    path: str | Path,
    *,
    name: str | None = None,
    use: EvalsetUse = "test",
    format: EvalFormat | None = None,  # noqa: A002 - as in the CLI
    split: str | None = None,
) -> EvalsetReport:
    """Import an evaluation set as judgments of the judge ``evalset:NAME``.

    Builds never write examples of a set for ``test`` into training rows. A question that is already in a set
    of the other use is left out and counted. The import is a transaction, and repeating it changes nothing.

    Args:
        db: the database.
        path: the file or folder; see :mod:`ragwheel.judgments.examples`.
        name: the name of the set; None: the file's name.
        use: ``"train"`` or ``"test"``.
        format: the format; None: it is detected.
        split: the only table of qrels to read from a BEIR or TREC folder; None: all.

    Raises:
        JudgmentError: the set cannot be read, or was imported for the other use.
        StoreError: the database cannot be written.
    """
    if use not in ("train", "test"):
        raise JudgmentError(
            f"--use is {use!r}; allowed: train, test. One example is never both: what was trained on "
            f"tests nothing."
        )
    name = name or Path(path).stem
    if not _NAME.fullmatch(name):
        raise JudgmentError(
            f"The name {name!r} cannot be used; allowed: up to 80 letters, digits and . _ : -"
        )
    evalset = read_evalset(path, format, split=split)
    with writing_judgments(db, create=True) as writer:
        return _write(writer, name, use, evalset)


def _write(writer: JudgmentWriter, name: str, use: EvalsetUse, evalset: EvalSet) -> EvalsetReport:
    evalset_id = writer.evalset(name, use)
    refused = Counter(evalset.refused)
    taken = writer.queries_of_evalsets("test" if use == "train" else "train")
    others = {query_key(query): other for query, other in taken}
    examples = []
    for example in evalset.examples:
        other = others.get(query_key(example.query))
        if other is None:
            examples.append(example)
        else:
            refused[f"question of the set {other}, which is for {'test' if use == 'train' else 'train'}"] += 1
    matched, ways = _matched(writer, name, examples)
    kept: dict[tuple[str, str, str], JudgmentRow] = {}
    for example in examples:
        chunk = matched.get(_identity(example))
        if chunk is None:
            refused["chunk id that the store does not have, without a text"] += 1
            continue
        source, chunk_id, digest = chunk
        row = JudgmentRow(
            query=example.query.encode("utf-8", "replace").decode("utf-8"),
            source=source,
            chunk_id=chunk_id,
            grade=example.grade,
            judge=f"evalset:{name}",
            judge_kind="llm" if evalset.synthetic else "human",
            text_hash=digest,
        )
        previous = kept.setdefault((row.query, source, chunk_id), row)
        if previous.grade != row.grade:
            refused["graded twice, differently: the first counts"] += 1
    if not kept:
        text = "; ".join(f"{reason}: {n}" for reason, n in sorted(refused.items()) if n)
        raise JudgmentError(
            f"Nothing of the evaluation set {name!r} can be used ({text}). Where chunk ids are unknown, put "
            f"the texts beside the qrels (corpus.jsonl, corpus.tsv) or into a column text, and import again."
        )
    for row in kept.values():
        writer.write(row, evalset_id=evalset_id)
    return EvalsetReport(
        name=name,
        use=use,
        format=evalset.format,
        queries=len({row.query for row in kept.values()}),
        judgments=len(kept),
        new=writer.outcomes["new"],
        chunks=dict(sorted(ways.items())),
        refused={reason: n for reason, n in sorted(refused.items()) if n},
        notes=tuple(evalset.notes),
    )


Identity = tuple[str | None, str | None]
Place = tuple[str, str, bytes | None]


def _identity(passage: GradedPassage) -> Identity:
    return passage.doc_id, None if passage.doc_id is not None and passage.text is None else passage.text


def _matched(
    writer: JudgmentWriter, name: str, examples: Sequence[GradedPassage]
) -> tuple[dict[Identity, Place], Counter[str]]:
    """Match each chunk of the set with one of the store by id, text or near-equal text, or add it."""
    wanted = {_identity(example): None for example in examples}
    matches: dict[Identity, Place] = {}
    ways: Counter[str] = Counter()
    by_id, by_text = _wanted_by(wanted)
    equal: dict[Identity, Place] = {}
    for source, chunk_id, body in writer.chunks():
        for identity in (*by_id.get(chunk_id, ()), *by_id.get(f"{source}/{chunk_id}", ())):
            text = identity[1]
            if identity not in matches and (text is None or jaccard(tokens(text), tokens(body)) >= SAME_ID):
                matches[identity] = (source, chunk_id, None)
        for identity in by_text.get(normalise(body), ()) if by_text else ():
            equal.setdefault(identity, (source, chunk_id, None))
    ways["id"] = len(matches)
    for identity in wanted:
        if identity not in matches and identity in equal:
            matches[identity] = equal[identity]
            ways["text"] += 1
    near = _near(
        writer, [identity for identity in wanted if identity not in matches and identity[1] is not None]
    )
    ways["near"] = len(near)
    matches |= near
    for identity in wanted:
        doc_id, text = identity
        if identity not in matches and text is not None:
            matches[identity] = _added(writer, name, doc_id, text)
            ways["added"] += 1
    return matches, ways


def _wanted_by(
    wanted: Iterable[Identity],
) -> tuple[Mapping[str, list[Identity]], Mapping[str, list[Identity]]]:
    """Return the chunks of a set by every id that they may have in the store, and by normalised text."""
    by_id: defaultdict[str, list[Identity]] = defaultdict(list)
    by_text: defaultdict[str, list[Identity]] = defaultdict(list)
    for identity in wanted:
        doc_id, text = identity
        for name in _names_of(doc_id) if doc_id is not None else ():
            by_id[name].append(identity)
        if text is not None:
            by_text[normalise(text)].append(identity)
    return by_id, by_text


def _names_of(doc_id: str) -> tuple[str, ...]:
    """Return an id, and its variants in our own exports: with encoded blanks, with a version at its end."""
    plain = unquote(doc_id)
    return tuple(dict.fromkeys((doc_id, plain, _VERSION.sub("", plain))))


def _near(writer: JudgmentWriter, missing: Sequence[Identity]) -> dict[Identity, Place]:
    """Return the most similar chunk of the store for texts without an equal chunk.

    The search is exact and takes two passes over the store: a similar text must contain one of the rarest
    words of the wanted text (prefix filtering; Bayardo, Ma and Srikant, WWW 2007).
    """
    if not missing:
        return {}
    words = {identity: tokens(identity[1] or "") for identity in missing}
    words_of_all = frozenset().union(*words.values())
    frequency: Counter[str] = Counter()
    for *_, body in writer.chunks():
        frequency.update(tokens(body) & words_of_all)
    by_word: defaultdict[str, list[Identity]] = defaultdict(list)
    for identity, some in words.items():
        needed = math.ceil(NEAR_TEXT * len(some) - 1e-9)
        for word in sorted(some, key=lambda word: (frequency[word], word))[: len(some) - needed + 1]:
            by_word[word].append(identity)
    best: dict[Identity, tuple[float, Place]] = {}
    for source, chunk_id, body in writer.chunks():
        theirs = tokens(body)
        for identity in _sharing(theirs, by_word):
            share = jaccard(words[identity], theirs)
            if share >= NEAR_TEXT and share > best.get(identity, (0.0, None))[0]:
                best[identity] = (share, (source, chunk_id, None))
    return {identity: chunk for identity, (_, chunk) in best.items()}


def _sharing(theirs: frozenset[str], by_word: Mapping[str, list[Identity]]) -> Iterable[Identity]:
    return dict.fromkeys(identity for word in theirs & by_word.keys() for identity in by_word[word])


def _added(writer: JudgmentWriter, name: str, doc_id: str | None, text: str) -> Place:
    text = text.encode("utf-8", "replace").decode("utf-8")
    source = f"evalset:{name}"
    chunk_id = doc_id or blake2b(text.encode(), digest_size=8).hexdigest()
    return source, chunk_id, writer.chunk(source, chunk_id, text)
