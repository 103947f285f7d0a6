"""ragwheel around LangChain: every retriever in the process is captured, chains stay as they are.

    pip install ragwheel-langchain bm25s
    python quickstart_langchain.py
    ragwheel show

Any `BaseRetriever` would do; the one below is BM25, because it needs neither a model nor a server.
"""

from __future__ import annotations

import bm25s
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import PrivateAttr

import ragwheel
import ragwheel_langchain

GUIDE = {
    "brew": "Brew filter coffee with 60 grams of ground beans for each litre of water, just off the boil.",
    "grind": "Grind the beans right before brewing. Espresso wants a fine grind, a press a coarse one.",
    "store": "Keep beans in an airtight tin away from light. A freezer is fine, a fridge is not.",
    "milk": "Milk froths best when it is cold and fresh. Stop heating at 65 degrees.",
    "descale": "Descale the machine every three months, more often where the water is hard.",
}


class GuideRetriever(BaseRetriever):
    """BM25 over the guide."""

    k: int = 2
    _index: bm25s.BM25 = PrivateAttr(default_factory=bm25s.BM25)

    def model_post_init(self, context: object) -> None:
        """Index the guide."""
        self._index.index(bm25s.tokenize(list(GUIDE.values()), show_progress=False), show_progress=False)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        ids, _ = self._index.retrieve(
            bm25s.tokenize(query, show_progress=False), corpus=list(GUIDE), k=self.k, show_progress=False
        )
        return [Document(id=str(i), page_content=GUIDE[i]) for i in ids[0]]


def read_aloud(inputs: dict[str, list[Document]]) -> str:
    """Stands in for the LLM: quotes the first document."""
    return f"{inputs['context'][0].page_content} [1]"


ragwheel.configure("ragwheel.db", app="barista")
ragwheel_langchain.instrument()
chain = {"context": GuideRetriever(), "question": RunnablePassthrough()} | RunnableLambda(read_aloud)


def main() -> None:
    """Ask the chain a question and say that the cited document was opened."""
    question = "How should I store my beans?"
    with ragwheel.turn(question) as turn:
        answer = chain.invoke(question)
        turn.answer(answer)
    ragwheel.signal(turn.handle, "click", rank=1)
    print(f"{question}\n  {answer}")
    print("Recorded in ragwheel.db. Next: ragwheel show")


if __name__ == "__main__":
    main()
