"""ragwheel around DSPy: what a program retrieves, prompts and answers is captured; it stays as it is.

    pip install ragwheel-dspy
    python quickstart_dspy.py
    ragwheel show

The embedder counts words and the model is DSPy's own dummy, because these need neither weights nor a server.
"""

from __future__ import annotations

import re

import dspy
import numpy as np
from dspy.utils import DummyLM

import ragwheel
import ragwheel_dspy

GUIDE = [
    "Brew filter coffee with 60 grams of ground beans for each litre of water, just off the boil.",
    "Grind the beans right before brewing. Espresso wants a fine grind, a press a coarse one.",
    "Keep beans in an airtight tin away from light: to store them, a freezer is fine, a fridge is not.",
    "Milk froths best when it is cold and fresh. Stop heating at 65 degrees.",
    "Descale the machine every three months, more often where the water is hard.",
]
WORDS = sorted({word for text in GUIDE for word in re.findall(r"\w+", text.lower())})


def embed(texts: list[str]) -> np.ndarray:
    """Stands in for an embedder: one dimension for each word of the guide."""
    return np.array([[word in re.findall(r"\w+", text.lower()) for word in WORDS] for text in texts], float)


class Barista(dspy.Module):
    """Answers from the guide."""

    def __init__(self) -> None:
        super().__init__()
        index = dspy.retrievers.Embeddings(GUIDE, embed, k=2)
        self.search = ragwheel_dspy.wrap_retriever(index, source="guide")
        self.respond = dspy.Predict("context: list[str], question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        """Answer a question."""
        return self.respond(context=self.search(question).passages, question=question)


dspy.configure(lm=DummyLM([{"answer": "In an airtight tin [1]."}]))
ragwheel.configure("ragwheel.db", app="barista")
ragwheel_dspy.instrument()


def main() -> None:
    """Ask the program a question and say that the cited passage was opened."""
    question = "How should I store my beans?"
    with ragwheel.turn(question) as turn:
        result = Barista()(question=question)
    ragwheel.signal(turn.handle, "click", rank=1)
    print(f"{question}\n  {result.answer}")
    print("Recorded in ragwheel.db. Next: ragwheel show")


if __name__ == "__main__":
    main()
