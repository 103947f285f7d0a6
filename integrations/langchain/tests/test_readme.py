"""The code in the distribution's README runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_runs(shelf: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"retriever": shelf}
    [code] = re.findall(r"(?ms)^```python\n(.*?)^```$", README.read_text(encoding="utf-8"))
    exec(compile(code, str(README), "exec"), namespace)
    assert namespace["chunks"] == shelf.invoke("how do I rotate the keys?")
    assert [r.query for r in namespace["turn"].retrievals] == ["how do I rotate the keys?"]
