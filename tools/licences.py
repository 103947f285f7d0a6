"""List the licence of every package that constraints.txt pins and this environment has: ``make audit``.

Exits with 1 where a package says nothing, or where its licence asks something of who distributes a work that
contains it (copyleft of the GPL family): then somebody has to look. None of them is part of ragwheel's own
distributions; they are what people install beside it.
"""

from __future__ import annotations

import re
import sys
from email.message import Message
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import cast

PINS = Path(__file__).parents[1] / "constraints.txt"
LOOKED_AT = {
    # package -> why it is no matter
    "crawler-user-agents": "its file LICENSE is the MIT licence",
}
STRONG = re.compile(r"\bA?GPL", re.IGNORECASE)


def licence(name: str) -> str | None:
    """Return what a package says of its licence; None where it is not installed here."""
    try:
        fields: Message = cast("Message", metadata(name))
    except PackageNotFoundError:
        return None
    classifiers = [
        value.rpartition(" :: ")[2]
        for value in fields.get_all("Classifier") or ()
        if value.startswith("License ::")
    ]
    text = (fields.get("License-Expression") or "; ".join(classifiers) or fields.get("License") or "").strip()
    return text.splitlines()[0][:60] if text else "unknown"


def main() -> int:
    """Print a table; say what somebody should look at."""
    names = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==", PINS.read_text(encoding="utf-8"))
    rows = {name: licence(name) for name in dict.fromkeys(names)}
    for name, text in rows.items():
        print(f"{name:40} {text or 'not installed here'}")
    odd = {
        name: text
        for name, text in rows.items()
        if text is not None and (text == "unknown" or (STRONG.search(text) and "LGPL" not in text))
    }
    left = {name: text for name, text in odd.items() if name not in LOOKED_AT}
    print(f"\n{len(rows)} packages, {sum(text is None for text in rows.values())} of them not installed here")
    for name, text in odd.items():
        print(
            f"  {name}: {text}; {LOOKED_AT.get(name, 'look at it, and note the result in tools/licences.py')}"
        )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
