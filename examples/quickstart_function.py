"""ragwheel around a plain function: capture, answer with citations, take a signal.

    pip install ragwheel
    python quickstart_function.py
    ragwheel show

The retriever below counts shared words; put your own in its place. Nothing else would change.
"""

from __future__ import annotations

import re

import ragwheel

NOTES = [
    {
        "id": "reset",
        "text": "To reset your password, open Settings, then Security, and choose Reset password.",
    },
    {"id": "length", "text": "A password has at least twelve characters. Longer ones are better."},
    {"id": "invoice", "text": "Invoices are sent on the first day of each month to the billing contact."},
    {
        "id": "export",
        "text": "Export your data from Settings, then Privacy. The archive is ready within a day.",
    },
    {"id": "team", "text": "Owners invite people to a team from the Members page."},
]

ragwheel.configure("ragwheel.db", app="helpdesk")


def words(text: str) -> set[str]:
    """The words of ``text``, lower case."""
    return set(re.findall(r"\w+", text.lower()))


@ragwheel.retriever(k="k")
def search(query: str, k: int = 2) -> list[dict[str, str]]:
    """The ``k`` notes that share most words with ``query``; ragwheel also records the rest."""
    return sorted(NOTES, key=lambda note: -len(words(query) & words(note["text"])))[:k]


def ask(question: str, user: str) -> tuple[str, str]:
    """Answer a question; return the answer and the handle by which signals find this turn later."""
    with ragwheel.turn(question, user_id=user) as turn:
        notes = search(question)
        answer = f"{notes[0]['text']} [1]"  # an LLM's answer, in your app
        turn.answer(answer)
    return answer, turn.handle


def main() -> None:
    """Ask three questions as two people, and say that two answers were good."""
    for question, user, liked in [
        ("How do I reset my password?", "ada", True),
        ("When are invoices sent?", "ben", True),
        ("Who can invite people to my team?", "ada", False),
    ]:
        answer, handle = ask(question, user)
        print(f"{question}\n  {answer}")
        if liked:
            ragwheel.signal(handle, "thumbs_up", subject=user)
    print("Recorded in ragwheel.db. Next: ragwheel show")


if __name__ == "__main__":
    main()
