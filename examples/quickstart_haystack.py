"""ragwheel around Haystack: every pipeline in the process is captured and stays as it is.

    pip install ragwheel-haystack
    python quickstart_haystack.py
    ragwheel show

Any retriever would do; the one below is BM25 in memory, because it needs neither a model nor a server.
"""

from __future__ import annotations

from haystack import Document, Pipeline, component
from haystack.components.builders import PromptBuilder
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

import ragwheel
import ragwheel_haystack

GUIDE = {
    "brew": "Brew filter coffee with 60 grams of ground beans for each litre of water, just off the boil.",
    "grind": "Grind the beans right before brewing. Espresso wants a fine grind, a press a coarse one.",
    "store": "Keep beans in an airtight tin away from light. A freezer is fine, a fridge is not.",
    "milk": "Milk froths best when it is cold and fresh. Stop heating at 65 degrees.",
    "descale": "Descale the machine every three months, more often where the water is hard.",
}


@component
class FirstPassage:
    """Stands in for the LLM: quotes the first passage of its prompt."""

    @component.output_types(replies=list[str])
    def run(self, prompt: str) -> dict[str, list[str]]:
        """Answer a prompt."""
        return {"replies": [prompt.partition("\n")[0] + " [1]"]}


def guide() -> InMemoryDocumentStore:
    """The guide as a document store."""
    store = InMemoryDocumentStore()
    store.write_documents([Document(id=name, content=text) for name, text in GUIDE.items()])
    return store


ragwheel.configure("ragwheel.db", app="barista")
ragwheel_haystack.instrument()
pipeline = Pipeline()
pipeline.add_component("guide", InMemoryBM25Retriever(guide(), top_k=2))
pipeline.add_component(
    "prompt", PromptBuilder("{% for page in pages %}{{ page.content }}\n{% endfor %}{{ question }}")
)
pipeline.add_component("model", FirstPassage())
pipeline.connect("guide.documents", "prompt.pages")
pipeline.connect("prompt.prompt", "model.prompt")


def main() -> None:
    """Ask the pipeline a question and say that the cited passage was opened."""
    question = "How should I store my beans?"
    with ragwheel.turn(question) as turn:
        result = pipeline.run({"guide": {"query": question}, "prompt": {"question": question}})
    ragwheel.signal(turn.handle, "click", rank=1)
    print(f"{question}\n  {result['model']['replies'][0]}")
    print("Recorded in ragwheel.db. Next: ragwheel show")


if __name__ == "__main__":
    main()
