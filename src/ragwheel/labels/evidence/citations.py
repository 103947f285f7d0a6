"""What the answer did with the chunks in its prompt."""

from __future__ import annotations

from functools import lru_cache

import ibis
import pyarrow as pa
from ibis import _

from ragwheel.labels.evidence.rows import rows
from ragwheel.labels.policy import Policy
from ragwheel.labels.traces.exposure import Facts, subject_of
from ragwheel.labels.traces.text import jaccard, tokens

__all__ = ["answer_scale", "cited", "prompted_not_cited"]


def answer_scale(facts: Facts, policy: Policy) -> ibis.Table:
    """turn_id, scale, disliked: what was signalled about the whole answer, each kind counted once.

    It strengthens or weakens the citations of the turn and is never a label of a chunk: who is to blame
    for a bad answer is unknown.
    """
    whole = facts.signals.filter(_.chunk_version.isnull() & _.turn_id.notnull())
    rated = whole.kind == "rating"
    says = {
        "liked": (whole.kind == "thumbs_up") | (rated & (whole["value"] >= 4)),
        "disliked": (whole.kind == "thumbs_down") | (rated & (whole["value"] <= 1)),
        "converted": whole.kind == "convert",
        "abandoned": whole.kind == "abandon",
        "follow_up": whole.kind == "follow_up",
    }
    turns = whole.group_by("turn_id").agg(**{name: say.any() for name, say in says.items()})
    factors = policy.answer.model_dump()
    scale = ibis.literal(1.0)
    for name in says:
        scale = scale * ibis.ifelse(turns[name], factors[name], 1.0)
    return turns.select("turn_id", "disliked", scale=scale)


def cited(facts: Facts, policy: Policy) -> ibis.Table:
    """Cited in the answer: for the chunk, as strongly as the answer was liked."""
    scales = answer_scale(facts, policy).select("turn_id", "scale")
    citations = facts.cited.left_join(scales, "turn_id").drop("turn_id_right")
    citations = citations.mutate(
        scale=_.scale.fill_null(1.0), subject=subject_of(citations), place=prompt_place(citations)
    )
    return rows(citations, "cited", strength=citations.scale, signal_id=ibis.null("string"), at_ns=_.start_ns)


def prompted_not_cited(facts: Facts, policy: Policy) -> ibis.Table:
    """Return what was in the prompt of an answer that did not cite it: against, by place.

    An empty answer leaves nothing out. One without any citation counts like others: that answers leave
    everything out is part of how often they cite. Nothing in stores where no answer ever cited. Near-copies
    of a cited chunk are left out, since the answer could have cited either; so are answers that were
    disliked, since who is to blame for them is unknown.
    """
    cited_turns = facts.cited.select("turn_id", "chunk_version").distinct()
    disliked = answer_scale(facts, policy).filter(_.disliked).select("turn_id")
    answered = facts.turns.filter(_.answered & _.answer_has_text.fill_null(True)).select("turn_id")
    prompted = facts.exposed.filter(_.was_prompted & _.turn_id.notnull()).semi_join(answered, "turn_id")
    prompted = prompted.mutate(subject=subject_of(prompted), place=prompt_place(prompted))
    if not facts.engine.count(cited_turns):
        return rows(
            prompted.filter(ibis.literal(False)),
            "prompted_not_cited",
            signal_id=ibis.null("string"),
            at_ns=_.start_ns,
        )
    silent = facts.engine.keep(
        "prompted_places", prompted.anti_join(cited_turns, ["turn_id", "chunk_version"])
    ).anti_join(disliked, "turn_id")
    copies = _near_copies(facts, silent, cited_turns, policy.negatives.near_copy)
    silent = silent.anti_join(copies, ["turn_id", "chunk_version"])
    return rows(silent, "prompted_not_cited", signal_id=ibis.null("string"), at_ns=_.start_ns)


def prompt_place(table: ibis.Table) -> ibis.Value:
    """Return the place in the prompt, 1-based, or the rank where the app did not tell it."""
    return table.prompt_position.coalesce(table["rank"]).cast("int32")


def _near_copies(facts: Facts, silent: ibis.Table, cited_turns: ibis.Table, threshold: float) -> ibis.Table:
    """turn_id, chunk_version of the uncited chunks whose text nearly is that of a cited one of the turn."""
    both = silent.select("turn_id", "chunk_version").join(
        cited_turns.rename(cited_version="chunk_version"), "turn_id"
    )
    texts = facts.chunks.select("chunk_version", "text_id")
    both = both.join(texts, "chunk_version").join(
        texts.rename(cited_version="chunk_version", cited_text="text_id"), "cited_version"
    )
    pairs = facts.engine.arrow(
        both.select("text_id", "cited_text").distinct().order_by("text_id", "cited_text")
    )
    near = facts.engine.register("near_copies", pairs.filter(_is_near(facts, pairs, threshold)))
    return both.semi_join(near, ["text_id", "cited_text"]).select("turn_id", "chunk_version").distinct()


def _is_near(facts: Facts, pairs: pa.Table, threshold: float) -> pa.Array:
    words = lru_cache(maxsize=8_192)(lambda text_id: tokens(facts.text_of(text_id)))
    found = [
        a == b or jaccard(words(a), words(b)) >= threshold
        for a, b in zip(pairs["text_id"].to_pylist(), pairs["cited_text"].to_pylist())
    ]
    return pa.array(found, pa.bool_())
