"""An app of a fleet: captures until it is killed, and says on its output what was acknowledged."""

from __future__ import annotations

import random
import sys

import ragwheel


@ragwheel.retriever(source="kb")
def search(query: str) -> list[dict[str, str]]:
    """Return six chunks that depend on the query alone."""
    rng = random.Random(query)
    return [{"id": f"c{n}", "text": f"All about subject {n}. " * 5} for n in rng.sample(range(30), 6)]


def main(db: str, name: str, turns: int) -> None:
    """Answer questions; after each call that returned, print its id."""
    ragwheel.configure(db, merge_interval_s=60.0)
    rng = random.Random(name)
    for n in range(turns):
        question = f"what about subject {rng.randrange(12)}"
        with ragwheel.turn(question, session_id=f"{name}-{n // 3}", user_id=f"{name}-{n % 5}") as turn:
            chunks = search(question)
            turn.prompted(chunks[:4])
            turn.answer("It is so [1].")
        print("turn", turn.handle, flush=True)
        event = f"{name}-{n}"
        if ragwheel.signal(turn.retrievals[-1].handle, "click", chunk=chunks[0]["id"], event_id=event):
            print("signal", event, flush=True)
    print("done", flush=True)
    sys.stdin.read()  # until it is killed


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
