"""The rooms beside grading: each opens, and what is said there is kept and obeyed."""

from __future__ import annotations

import pytest

from ragwheel import datasets
from ragwheel.testing import TraceSpec, write_traces

ROOMS = (
    "/agreement", "/compare", "/documents", "/training", "/traces", "/trace", "/traces?filter=disliked",
    "/traces?filter=nothing+relevant+in+the+top+5", "/traces?filter=contradictory+evidence",
    "/traces?filter=judge+against+person", "/traces?filter=reformulated", "/traces?filter=unmatched+citation",
    "/traces?q=%3Cb%3E&before=x", "/why?show=yes&source=kb&chunk=c1&query=none",
)  # fmt: skip


@pytest.fixture
def built(tmp_path):
    write_traces(tmp_path / "app.db", TraceSpec(turns=200, queries=30))
    datasets.build(tmp_path / "app.db", tmp_path / "set")
    return tmp_path / "app.db"


def test_every_room_opens_and_a_struck_row_is_left_out_of_the_next_build(serve, built, tmp_path):
    server = serve(built)
    server.ready()
    with server.client() as client:
        for path in ROOMS:
            assert client.get(path).status_code == 200, path
        row = datasets.explain(tmp_path / "set", 1)[0]
        names = {"source": row.positive_id[0], "chunk": row.positive_id[1]}
        names |= {"other_source": row.negative_id[0], "other": row.negative_id[1]}
        body = {"rater": "ann", "query": row.anchor, **names}
        assert client.post("/api/strike", json={**body, "value": "all"}).status_code == 400
        assert client.post("/api/strike", json={**body, "value": "row"}).json() == {"struck": "row"}
        assert "struck out (row) by ann" in client.get("/training").text
    report = datasets.build(built, tmp_path / "set")
    assert report.dropped["triplet: struck out by a person"] == 1
    left = datasets.explain(tmp_path / "set", 10_000)
    key = (row.anchor, row.positive_id, row.negative_id)
    assert key not in {(other.anchor, other.positive_id, other.negative_id) for other in left}
