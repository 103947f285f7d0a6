"""The chart of what capture adds shows the figures of the page's table."""

from pathlib import Path

import pytest
from capture.picture import Cost, costs, draw

ROOT = Path(__file__).parents[2]
PAGE = """
### Added in the caller's thread, 40 × 1,000 characters

| system | paced p50 µs | rounds |
| --- | --- | --- |
| `span_only` | 142 [112–175] | 3 |
| `hand_commit` | 1,940 [1,662–2,205] | 3 |
| `ragwheel` | 460 [-255–487] | 3 |
| `mlflow` | – | 1 |

### Until stored

| system | stored/s |
| --- | --- |
| `langfuse` | 249 |
"""


def test_figures_come_from_the_table_cheapest_first_and_yardsticks_are_left_out() -> None:
    assert costs(PAGE) == [
        Cost("ragwheel", 460, -255, 487),
        Cost("spans by hand, each committed", 1940, 1662, 2205),
    ]


def test_a_page_without_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Next: python benchmarks/capture/run.py --summary"):
        costs("# Nothing")


def test_the_picture_in_the_docs_is_the_one_of_the_table(tmp_path: Path) -> None:
    """Whoever renews the table renews the picture."""
    pytest.importorskip("matplotlib", reason="pip install matplotlib")
    draw(costs((ROOT / "docs" / "benchmarks.md").read_text("utf-8")), tmp_path / "cost.svg")
    committed = (ROOT / "docs" / "img" / "capture-cost.svg").read_text("utf-8")
    for cost in costs((ROOT / "docs" / "benchmarks.md").read_text("utf-8")):
        assert f">{cost.median_us:,.0f}<" in committed
        assert f">{cost.median_us:,.0f}<" in (tmp_path / "cost.svg").read_text("utf-8")
