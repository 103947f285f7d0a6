"""docs/store.md has every public view with every column, and no other."""

import re
from pathlib import Path

from ragwheel.store import merge_journal

PAGE = Path(__file__).parents[2] / "docs" / "store.md"


def test_every_column_of_every_view_is_documented(db, rows):
    merge_journal(db)
    views = [row[0] for row in rows("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name")]
    real = {
        view: [row[0] for row in rows(f"SELECT name FROM pragma_table_info('{view}')")]
        for view in views
        if not view.startswith("_")
    }
    documented = {
        section[1]: re.findall(r"(?m)^\| (\w+) \| ", section[2].partition("| column |")[2])
        for section in re.finditer(r"(?ms)^## (\w+)\n(.*?)(?=^## |\Z)", PAGE.read_text())
        if "| column |" in section[2]
    }
    assert documented == real
