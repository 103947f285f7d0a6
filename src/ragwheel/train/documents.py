"""Training what embeds questions, while documents keep the vectors that they are indexed with.

Since no document moves, every known chunk serves as a negative at the cost of one matrix product,
the index stays, and chunks that no row of training names keep their place. A chunk that nobody has judged for
a question and that the base finds closer than the relevant one may be relevant itself: it is ignored
(Solatorio 2024, GISTEmbed). One that people passed over or rejected does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ragwheel.models.encoding import lengths_count
from ragwheel.store import open_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ragwheel.datasets import BuiltDataset
    from ragwheel.train.beliefs import Believed
    from ragwheel.train.examples import Examples

    Vectors = NDArray[np.float32]

__all__ = ["IRRELEVANT", "DocumentBank", "Encode", "bank_loss", "known_chunks", "make_bank"]

#: Labels of pairs are grade / 5; up to grade 1 a chunk is irrelevant.
IRRELEVANT: Final = 0.2
_TEMPERATURE: Final = 0.05
_DOUBTFUL: Final = 0.1  # a chunk that is believed more than this is no certain negative

Encode = Callable[[Sequence[str], Any], "Vectors"]


@dataclass(frozen=True)
class DocumentBank:
    """All known chunks, and what each training row makes of them.

    Args:
        documents: (chunks, dimension), to be compared by inner product.
        questions: (rows, dimension), the base's vector of each row's question.
        positive: (rows,), which chunk is the relevant one.
        weight: (rows,), how much each row counts, 1 on average.
        hard_negatives: per row, the chunks that are irrelevant for certain.
        ignored: per row, the chunks that are neither: relevant to the question as well, or judged in between.
    """

    documents: Vectors
    questions: Vectors
    positive: NDArray[np.int64]
    weight: Vectors
    hard_negatives: tuple[NDArray[np.int64], ...]
    ignored: tuple[NDArray[np.int64], ...]


def known_chunks(
    dataset: BuiltDataset, db: Path | None, *, most: int, seed: int, rows: Collection[str] = ()
) -> list[str]:
    """Texts of the chunks that the training rows name, and of others in the store, drawn by the seed.

    Args:
        dataset: all chunks of its pairs for training are taken, however many.
        db: the store that it was built from, if known.
        most: how many texts altogether; fewer where the store has no more.
        seed: of the draw.
        rows: other texts that are taken in any case.
    """
    named = sorted({*dataset.rows("pairs", "train")["document"].to_pylist(), *rows})
    room = most - len(named)
    if db is None or not db.is_file() or room <= 0:
        return named
    taken, draw = set(named), random.Random(seed)
    others: list[str] = []
    with closing(open_store(db)) as connection:
        texts = connection.execute("SELECT DISTINCT text FROM chunks WHERE text <> '' ORDER BY content_hash")
        for number, text in enumerate(text for (text,) in texts if text not in taken):
            if len(others) < room:
                others.append(text)
            elif (place := draw.randrange(number + 1)) < room:  # each is kept as likely (Vitter 1985, R)
                others[place] = text
    return [*named, *others]


def make_bank(
    dataset: BuiltDataset,
    examples: Examples,
    chunks: Sequence[str],
    encode: Encode,
    believed: Believed | None = None,
) -> DocumentBank:
    """The bank of these rows.

    Args:
        dataset: its pairs say what is irrelevant to a question, and what is in between.
        examples: rows of a question and a relevant chunk, columns ``anchor`` and ``positive``.
        chunks: every ``positive`` is among them.
        encode: texts and their role to vectors, by the model that the index was made with.
        believed: chunks that may be relevant by it stand ignored as well, unless the dataset rejects them.
    """
    row_of = {text: number for number, text in enumerate(chunks)}
    hard_negatives: dict[str, list[int]] = {}
    ignored: dict[str, list[int]] = {}
    pairs = dataset.rows("pairs", "train").to_pydict()
    for question, text, label in zip(pairs["query"], pairs["document"], pairs["label"]):
        (hard_negatives if label <= IRRELEVANT else ignored).setdefault(question, []).append(row_of[text])
    for row in () if believed is None else believed.train:
        number = row_of.get(believed.texts[row.version]) if row.belief > _DOUBTFUL else None  # type: ignore[union-attr]
        if number is not None and number not in hard_negatives.get(row.query, ()):
            ignored.setdefault(row.query, []).append(number)
    anchors = examples.columns["anchor"]
    weight = np.array(examples.confidence, np.float32)
    return DocumentBank(
        encode(chunks, "document"),
        encode(anchors, "query"),
        np.array([row_of[text] for text in examples.columns["positive"]], dtype=np.int64),
        weight / weight.mean(),
        tuple(np.array(hard_negatives.get(anchor, ()), dtype=np.int64) for anchor in anchors),
        tuple(np.array(ignored.get(anchor, ()), dtype=np.int64) for anchor in anchors),
    )


def bank_loss(model: Any, bank: DocumentBank) -> Any:
    """A module: softmax cross-entropy of each question over all chunks, but the ignored ones (InfoNCE).

    Each row counts by its weight. Cosines are divided by a temperature of .05; dot products, of a model whose
    own similarity that is, are taken as they are.

    Takes the features of the questions and, as labels, the numbers of their rows.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    by_dot = lengths_count(model)
    temperature = 1.0 if by_dot else _TEMPERATURE

    class BankLoss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.documents, self.questions, self.positive, self.weight = (
                torch.nn.Buffer(torch.from_numpy(column), persistent=False)
                for column in (bank.documents, bank.questions, bank.positive, bank.weight)
            )

        def forward(self, features: Any, rows: Any) -> Any:
            found = self.model(next(iter(features)))["sentence_embedding"].float()
            found = found if by_dot else normalize(found, dim=1)
            target = self.positive[rows]
            ignored = self._ignored(rows.tolist(), rows, target)
            scores = (found @ self.documents.T / temperature).masked_fill(ignored, float("-inf"))
            return (cross_entropy(scores, target, reduction="none") * self.weight[rows]).mean()

        def _ignored(self, numbers: list[int], rows: Any, target: Any) -> Any:
            """(questions, chunks): true where a chunk is ignored."""
            by_base = self.questions[rows] @ self.documents.T
            every = torch.arange(len(target), device=target.device)
            ignored = by_base > by_base[every, target].unsqueeze(1)
            for at, number in enumerate(numbers):
                ignored[at, torch.from_numpy(bank.hard_negatives[number]).to(ignored.device)] = False
                ignored[at, torch.from_numpy(bank.ignored[number]).to(ignored.device)] = True
            ignored[every, target] = False
            return ignored

    return BankLoss()
