"""From a decorated function of a client to the right triplets of a build."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import ragwheel
from ragwheel import datasets

QUESTION = "How often are the keys rotated?"
TEXTS = [
    "Keys are rotated every ninety days by the security team.",
    "Invoices are kept for ten years because of the tax office.",
    "Answer any message with STOP to leave the mailing list.",
]


class MilvusHits(list[Any]):
    """A list whose items are made when they are asked for."""

    def __init__(self, rows: list[Any]) -> None:
        super().__init__({} for _ in rows)
        self._rows = rows

    def __getitem__(self, position: Any) -> Any:
        return self._rows[position]

    def __iter__(self) -> Any:
        return iter(self._rows)


def node(number: int, text: str) -> Any:
    return SimpleNamespace(
        node=SimpleNamespace(id_=f"n{number}", text=text, metadata={}), score=0.9 - number / 10
    )


RESULTS: dict[str, Any] = {
    "Weaviate": lambda: SimpleNamespace(objects=[
        SimpleNamespace(uuid=f"00{n}-1", properties={"content": text}, metadata=SimpleNamespace(distance=0.1))
        for n, text in enumerate(TEXTS)
    ]),
    "Milvus": lambda: [
        MilvusHits([{"id": n, "distance": 0.1 * n, "entity": {"text": t}} for n, t in enumerate(TEXTS)])
    ],
    "pgvector": lambda: [(text, f"handbook-{n}.md", 0.9 - n / 10) for n, text in enumerate(TEXTS)],
    "LlamaIndex": lambda: [node(n, text) for n, text in enumerate(TEXTS)],
}  # fmt: skip


@pytest.mark.parametrize("client", RESULTS)
def test_a_decorated_function_yields_right_triplets(tmp_path, client):
    ragwheel.configure(tmp_path / "app.db")
    search = ragwheel.retriever(name="kb")(lambda query: RESULTS[client]())
    for user in ("u1", "u2", "u3"):
        with ragwheel.turn(QUESTION, user_id=user) as turn:
            search(QUESTION)
            turn.answer("Every ninety days [1].")
        retrieval = turn.retrievals[-1]
        assert ragwheel.signal(retrieval.handle, "thumbs_up", rank=1)
        assert ragwheel.signal(retrieval.handle, "delete", rank=2)
    ragwheel.shutdown()
    datasets.build(tmp_path / "app.db", tmp_path / "data")
    rows = datasets.open_dataset(tmp_path / "data").rows("triplets", "train").to_pylist()
    assert {(row["anchor"], row["positive"]) for row in rows} == {(QUESTION, TEXTS[0])}
    assert TEXTS[1] in {row["negative"] for row in rows}
    assert TEXTS[0] not in {row["negative"] for row in rows}
