"""How far every ranked chunk got, and which chunk every signal is about: the store's views as Ibis steps.

``impressions`` and ``matched_signals`` give the rows of the public views of those names (proved in the
tests). ``facts`` keeps what the evidence rules need: only chunks that somebody or the LLM was exposed
to, or that a signal or citation names; of a million retrievals of forty that is a fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ibis
from ibis import _

from ragwheel.labels.engines.engine import RelationalEngine
from ragwheel.labels.position.result import Examination
from ragwheel.labels.traces.read import StoreTables

__all__ = ["Facts", "facts", "impressions", "matched_signals", "placements_of", "subject_of"]


@dataclass(frozen=True)
class Facts:
    """Tables for the evidence rules; the columns of each are in the function that makes it.

    ``examination`` is the estimate of how much people look at each rank; None: not estimated yet.
    """

    engine: RelationalEngine
    retrievals: ibis.Table
    turns: ibis.Table
    chunks: ibis.Table
    exposed: ibis.Table
    signals: ibis.Table
    touches: ibis.Table
    acts: ibis.Table
    cited: ibis.Table
    judgments: ibis.Table
    text_of: Callable[[int], str]
    examination: Examination | None = None


def facts(
    engine: RelationalEngine, tables: StoreTables, text_of: Callable[[int], str], *, bots: bool = False
) -> Facts:
    """Register the store's tables and compute exposure, matched signals and citations once.

    ``text_of`` gives the text of a ``text_id``; without ``bots`` signals of known robots are as if not there.
    """
    retrievals = engine.register("retrieval", tables.retrieval).filter(_.query_key != "")
    turns = engine.register("turn", tables.turn)
    placements = placements_of(turns)
    chunks = engine.register("chunk", tables.chunk)
    signals = engine.register("signal", tables.signal)
    if not bots:
        signals = signals.filter(~signals.bot)
    citations = _opened(turns, "citations").select("turn_id", "retrieval_id", "rank")
    touches = engine.keep("touches", _touches(signals, retrievals, chunks, _ranked(retrievals)))
    matched = engine.keep("signals", matched_signals(signals, retrievals, turns, touches))
    heads = retrievals.select("rid", "retrieval_id")
    citing = citations.join(heads, "retrieval_id").select("turn_id", "rid", "rank").distinct()
    rows = _exposures(retrievals, turns, placements, touches)
    named = citing.select("rid", "rank").distinct().mutate(cited=True)
    rows = rows.left_join(named, ["rid", "rank"]).drop("rid_right", "rank_right")
    rows = rows.filter((_.exposure != "logged") | _.touched | _.cited.notnull()).drop("touched", "cited")
    exposed = engine.keep("exposed", _named(rows, retrievals))
    acts = engine.keep("acts", _acts(matched, exposed))
    cited = engine.keep("cited", citing.join(exposed.drop("turn_id"), ["rid", "rank"]))
    judgments = engine.register("judgment", tables.judgment).filter(_.query_key != "")
    return Facts(
        engine,
        retrievals.drop("items"),
        turns.drop("prompted", "shown", "citations"),
        chunks,
        exposed,
        matched,
        touches,
        acts,
        cited,
        judgments,
        text_of,
    )


def placements_of(turns: ibis.Table) -> ibis.Table:
    """turn_id, retrieval_id, rank, position (1-based) in the prompt or, where ``shown``, on the screen."""
    return _opened(turns, "prompted").mutate(shown=False).union(
        _opened(turns, "shown").mutate(shown=True), distinct=False
    )  # fmt: skip


def _opened(turns: ibis.Table, column: str) -> ibis.Table:
    rows = turns.select("turn_id", places=column).unnest("places", offset="place")
    return rows.select(
        "turn_id",
        retrieval_id=rows.places["retrieval_id"],
        rank=rows.places["rank"],
        position=(rows.place + 1).cast("int32"),
    )


def _ranked(retrievals: ibis.Table) -> ibis.Table:
    """One row per ranked chunk: rid, rank, chunk_version, score. Lazy."""
    rows = retrievals.select("rid", "items").unnest("items", offset="place")
    return rows.select(
        "rid",
        rank=(rows.place + 1).cast("int32"),
        chunk_version=rows["items"]["chunk_version"],
        score=rows["items"]["score"],
    )


def impressions(
    retrievals: ibis.Table, turns: ibis.Table, placements: ibis.Table, touches: ibis.Table
) -> ibis.Table:
    """The rows of the view ``impressions``, and of each its place among what was shown or prompted.

    ``closeness`` is the score between the ranking's worst (0) and best (1), whichever way scores go, in
    millionths; null without scores. ``touched``: a signal names it.
    """
    return _named(_exposures(retrievals, turns, placements, touches), retrievals)


def _named(rows: ibis.Table, retrievals: ibis.Table) -> ibis.Table:
    names = ("rid", "retrieval_id", "turn_id", "query_key", "session_id", "user_id", "start_ns")
    return rows.join(retrievals.select(*names), "rid")


def _exposures(
    retrievals: ibis.Table, turns: ibis.Table, placements: ibis.Table, touches: ibis.Table
) -> ibis.Table:
    """Impressions by number alone: this runs on every ranked chunk, so no text travels through it."""
    reranked = (
        retrievals.filter(_.reranks & _.turn_id.notnull()).select("turn_id").distinct().mutate(reranked=True)
    )
    heads = retrievals.left_join(turns.select("turn_id", "answered", "prompted_given"), "turn_id")
    heads = heads.drop("turn_id_right").left_join(reranked, "turn_id").drop("turn_id_right")
    answered, said = heads.answered.fill_null(False), heads.prompted_given.fill_null(False)
    heads = heads.select(
        "rid", "nested", "n_returned", "score_best", "score_worst", "items",
        said=said, guessed=answered & ~said, last=heads.reranks | ~heads.reranked.fill_null(False),
    )  # fmt: skip
    rows = heads.unnest("items", offset="place")
    span = rows.score_best - rows.score_worst
    score = rows["items"]["score"]
    far = (score - rows.score_worst) / ibis.ifelse(span != 0, span, ibis.null("float64"))
    rows = rows.select(
        "rid", "said", "last",
        rank=(rows.place + 1).cast("int32"),
        chunk_version=rows["items"]["chunk_version"],
        score=score,
        closeness=(far * 1_000_000).round().cast("int64"),
        was_returned=~rows.nested & (rows.place < rows.n_returned),
        assumed=rows.guessed & ~rows.nested & (rows.place < rows.n_returned),
    ).filter(_.chunk_version.notnull())  # fmt: skip
    by_place = retrievals.filter(_.turn_id.notnull()).select("rid", "turn_id", "retrieval_id")
    placed = placements.join(by_place, ["turn_id", "retrieval_id"])
    for name, shown in (("prompt_position", False), ("shown_position", True)):
        places = placed.filter(_.shown == shown).group_by("rid", "rank").agg(**{name: _.position.min()})
        rows = rows.left_join(places, ["rid", "rank"]).drop("rid_right", "rank_right")
    touched = touches.select("rid", "rank").distinct().mutate(touched=True)
    rows = rows.left_join(touched, ["rid", "rank"]).drop("rid_right", "rank_right")
    rows = rows.mutate(touched=rows.touched.fill_null(False))
    rows = rows.mutate(
        was_prompted=ibis.ifelse(rows.said, rows.prompt_position.notnull(), rows.assumed & rows["last"]),
        was_shown=rows.shown_position.notnull() | (rows.was_returned & rows.touched),
    )
    exposure = ibis.cases(
        (rows.was_shown, "shown"),
        (rows.was_prompted, "prompted"),
        (rows.was_returned, "returned"),
        else_="logged",
    )
    return rows.mutate(exposure=exposure).drop("said", "last")


def _touches(
    signals: ibis.Table, retrievals: ibis.Table, chunks: ibis.Table, ranked: ibis.Table
) -> ibis.Table:
    """Every impression that a signal may mean: sid, rid, rank, chunk_version, ``loses`` (is ``other``)."""
    heads = retrievals.select("rid", "retrieval_id", "turn_id")
    columns = ["sid", "kind", "chunk", "rank", "other", "target_id"]
    by_retrieval = signals.filter(~_.about_turn).select(*columns).join(heads, [("target_id", "retrieval_id")])
    by_turn = signals.filter(_.about_turn).select(*columns).join(heads, [("target_id", "turn_id")])
    wanted = [*columns[:-1], "rid"]
    targets = by_retrieval.select(*wanted).union(by_turn.select(*wanted), distinct=False)
    ids = chunks.select("chunk_version", "chunk_id")
    found = []
    for loses, name, which in (
        (False, "chunk", targets.chunk.notnull()),
        (True, "other", (targets.kind == "prefer") & targets.other.notnull()),
    ):
        named = targets.filter(which).rename(said_rank="rank").join(ids, [(name, "chunk_id")])
        rows = named.join(ranked.select("rid", "rank", "chunk_version"), ["rid", "chunk_version"])
        found.append(
            rows.select("sid", "rid", "rank", "chunk_version", "said_rank", loses=ibis.literal(loses))
        )
    placed = targets.filter(targets.chunk.isnull() & targets["rank"].notnull())
    rows = placed.join(ranked.select("rid", "rank", "chunk_version"), ["rid", "rank"])
    found.append(
        rows.select("sid", "rid", "rank", "chunk_version", said_rank=rows["rank"], loses=ibis.literal(False))
    )
    return ibis.union(*found, distinct=False)


def matched_signals(
    signals: ibis.Table, retrievals: ibis.Table, turns: ibis.Table, touches: ibis.Table
) -> ibis.Table:
    """The rows of the view ``signals``: each signal known to be about something, with its chunk if any.

    Of several places a signal may mean, the re-ranker's comes first, then the outermost retrieval's, the
    earliest, the highest ranked.
    """
    heads = retrievals.select("rid", "retrieval_id", "turn_id", "user_id", "reranks", "nested", "start_ns")
    places = touches.filter(~_.loses & (_.said_rank.isnull() | (_.said_rank == _.rank))).join(heads, "rid")
    order = [places.reranks.desc(), places.nested, places.start_ns, places.rid, places["rank"]]
    first = places.mutate(n=ibis.row_number().over(group_by=places.sid, order_by=order)).filter(_.n == 0)
    people = turns.select(target_id="turn_id", turn_user="user_id")
    signals = signals.left_join(people, "target_id").drop("target_id_right")
    keep = ["sid", "signal_id", "kind", "value", "subject", "at_ns", "new_id", "new_key"]
    about = ["rid", "retrieval_id", "turn_id", "rank", "chunk_version"]
    of_chunks = signals.drop("rank").join(first.select("sid", "user_id", *about), "sid")
    who = ibis.coalesce(of_chunks.subject, of_chunks.user_id, of_chunks.turn_user)
    of_chunks = of_chunks.mutate(subject=who).select(*keep, *about)
    whole = signals.filter(signals.chunk.isnull() & signals["rank"].isnull()).drop("rank")
    whole = whole.mutate(subject=whole.subject.coalesce(whole.turn_user))
    none = {"rank": ibis.null("int32"), "chunk_version": ibis.null("int64")}
    of_retrievals = whole.filter(~_.about_turn).join(heads, [("target_id", "retrieval_id")])
    of_retrievals = of_retrievals.mutate(subject=of_retrievals.subject.coalesce(of_retrievals.user_id))
    of_turns = whole.filter(_.about_turn).join(turns.select("turn_id"), [("target_id", "turn_id")])
    return ibis.union(
        of_chunks,
        of_retrievals.select(*keep, "rid", retrieval_id=_.target_id, turn_id=_.turn_id, **none),
        of_turns.select(
            *keep, rid=ibis.null("int64"), retrieval_id=ibis.null("string"), turn_id=_.target_id, **none
        ),
        distinct=False,
    )


def _acts(matched: ibis.Table, exposed: ibis.Table) -> ibis.Table:
    """Signals about chunks, with the impression: the query, who saw it and at which ``place``."""
    signals = matched.filter(_.chunk_version.notnull())
    signals = signals.select(
        "rid", "rank", "signal_id", "kind", "value", "at_ns", said="subject", signal_sid="sid"
    )
    text = signals.join(exposed.drop("start_ns"), ["rid", "rank"])
    return text.mutate(subject=subject_of(text, text.said), place=text.shown_position.coalesce(text["rank"]))


def subject_of(table: ibis.Table, *first: Any) -> Any:
    """Whose doing it was: what was said first, else the user, the session, the turn, the retrieval."""
    return ibis.coalesce(*first, table.user_id, table.session_id, table.turn_id, table.retrieval_id)
