"""A collection in which every need is asked in several wordings.

MTRAG has what people typed in a conversation, and the same question written out so that it stands alone. The
other wordings, and all those of SciFact's claims, come from rules. Each wording has a ranking of its own.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Final

from labels.rows_worlds import read_mtrag
from labels.worlds import World, bm25, hasty, read_scifact
from ragwheel.labels.traces.text import query_key

__all__ = ["paraphrases", "read_paraphrased"]

_SYNONYMS: Final = {
    "activates": "switches on", "activation": "stimulation", "affect": "influence", "affects": "influences",
    "associated": "linked", "cancer": "tumour", "causes": "leads to", "decrease": "fall",
    "decreased": "reduced", "decreases": "reduces", "develop": "get", "effective": "useful",
    "encodes": "codes for", "growth": "expansion", "higher": "greater", "impairs": "damages",
    "improves": "betters", "increase": "rise", "increased": "raised", "increases": "raises",
    "induces": "triggers", "inhibits": "blocks", "inhibition": "blocking", "lack": "absence",
    "lead": "give rise", "leads": "gives rise", "lower": "smaller", "mice": "mouse models",
    "patients": "people", "prevents": "stops", "promotes": "favours", "protects": "guards",
    "reduced": "decreased", "reduces": "lowers", "regulates": "controls", "required": "needed",
    "results": "ends", "risk": "danger", "treatment": "therapy", "women": "females",
}  # fmt: skip
_QUESTION_WORDS: Final = frozenset({
    "are", "can", "could", "did", "do", "does", "how", "is", "should", "was", "were", "what", "when",
    "where", "which", "who", "whom", "whose", "why", "will", "would",
})  # fmt: skip
_STOPWORDS: Final = _QUESTION_WORDS | {
    "a", "an", "and", "as", "at", "be", "been", "by", "during", "for", "from", "had", "has", "have", "i",
    "in", "into", "it", "its", "me", "may", "not", "of", "on", "or", "than", "that", "the", "their", "them",
    "there", "these", "they", "this", "to", "with", "you", "your",
}  # fmt: skip
_NEEDS: Final = 150


def read_paraphrased(data: Path) -> World:
    """MTRAG's needs and 150 claims of SciFact over both collections' passages, ranked by BM25."""
    mtrag, scifact = read_mtrag(data / "mtrag_human_sub"), read_scifact(data / "scifact", _NEEDS)
    texts = {**mtrag.texts, **scifact.texts}
    grades = {**mtrag.grades, **scifact.grades}
    seen = {query_key(query) for query in grades}
    wordings: dict[str, list[str]] = {}
    for query in grades:
        short = mtrag.short.get(query)
        typed = [short] if short and short != hasty(query) else []
        wordings[query] = [query]
        for wording in [*typed, *paraphrases(query)]:
            if query_key(wording) not in seen:  # one wording never stands for two needs
                seen.add(query_key(wording))
                wordings[query].append(wording)
    rankings = bm25(texts, [wording for several in wordings.values() for wording in several], 20)
    return World("paraphrases", False, texts, rankings, grades, {}, wordings=wordings)


def paraphrases(text: str) -> list[str]:
    """Other wordings of a claim or a question: synonyms, key words in another order, a request around it."""
    words = re.findall(r"[\w'-]+", text)
    swapped = " ".join(_SYNONYMS.get(word.lower(), word) for word in words)
    telling = [word for word in words if word.lower() not in _STOPWORDS]
    random.Random(text).shuffle(telling)
    rng = random.Random(f"{text}?")
    if text.endswith("?") or words[0].lower() in _QUESTION_WORDS:
        request = rng.choice(("Please tell me: {}?", "I would like to know, {}?", "Quick question - {}?"))
    else:
        request = rng.choice(
            ("Is it true that {}?", "What speaks for the claim that {}?", "Do we know whether {}?")
        )
    wordings = (swapped, " ".join(telling), request.format(swapped))
    return [wording for wording in wordings if query_key(wording) != query_key(text)]
