"""ragwheel around LangGraph: what the nodes retrieve is captured, and a thread of the graph is a session.

pip install ragwheel-langchain langgraph bm25s
python quickstart_langgraph.py
ragwheel show
"""

from __future__ import annotations

from typing import TypedDict

import bm25s
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

import ragwheel

GUIDE = {
    "brew": "Brew filter coffee with 60 grams of ground beans for each litre of water, just off the boil.",
    "grind": "Grind the beans right before brewing. Espresso wants a fine grind, a press a coarse one.",
    "store": "Keep beans in an airtight tin away from light. A freezer is fine, a fridge is not.",
    "milk": "Milk froths best when it is cold and fresh. Stop heating at 65 degrees.",
    "descale": "Descale the machine every three months, more often where the water is hard.",
}
INDEX = bm25s.BM25()
INDEX.index(bm25s.tokenize(list(GUIDE.values()), show_progress=False), show_progress=False)


class State(TypedDict, total=False):
    """What the nodes hand on."""

    question: str
    pages: list[dict[str, str]]
    answer: str


@ragwheel.retriever(source="guide")
def search(query: str) -> list[dict[str, str]]:
    """Search the guide: no retriever of LangChain, so it is decorated."""
    words = bm25s.tokenize(query, show_progress=False)
    names, _ = INDEX.retrieve(words, corpus=list(GUIDE), k=2, show_progress=False)
    return [{"id": str(name), "text": GUIDE[name]} for name in names[0]]


def retrieve(state: State) -> State:
    """Find pages for the question."""
    return {"pages": search(state["question"])}


def respond(state: State) -> State:
    """Stands in for the LLM: quotes the first page."""
    answer = f"{state['pages'][0]['text']} [1]"
    turn = ragwheel.current_turn()
    if turn is not None:
        turn.prompted(state["pages"])
        turn.answer(answer)
    return {"answer": answer}


ragwheel.configure("ragwheel.db", app="barista")
builder = StateGraph(State)
builder.add_node("retrieve", retrieve)
builder.add_node("respond", respond)
builder.add_edge(START, "retrieve")
builder.add_edge("retrieve", "respond")
builder.add_edge("respond", END)
graph = builder.compile(checkpointer=InMemorySaver())


def main() -> None:
    """Ask the graph a question and say that the cited page was opened."""
    question = "How should I store my beans?"
    with ragwheel.turn(question, session_id="thread-1") as turn:
        state = graph.invoke({"question": question}, {"configurable": {"thread_id": "thread-1"}})
    ragwheel.signal(turn.handle, "click", rank=1)
    print(f"{question}\n  {state['answer']}")
    print("Recorded in ragwheel.db. Next: ragwheel show")


if __name__ == "__main__":
    main()
