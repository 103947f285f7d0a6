"""The demo's folder and its parts: corpus, retriever wrapped for over-fetch, database.

::

    ragwheel-demo/
    ├── demo.json            how this folder was made: it marks the folder as the demo's own
    ├── ragwheel.db          the simulated visitors' traces
    ├── dataset/             what `ragwheel build` made of them
    ├── evalset/             questions for a test of what is trained on it, with their true answers
    ├── reranker/            what the demo trained on the dataset, and proved on the evaluation set
    ├── yours.db             your own traces (--interactive); later visits add to them
    └── yours/               the dataset of those
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragwheel.demo.corpus import Corpus, read_beir
from ragwheel.demo.pydocs import read_python_docs
from ragwheel.errors import DatasetError, MissingExtra
from ragwheel.typing import CountProgress

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever

__all__ = [
    "DemoFolder",
    "DemoOptions",
    "app_retriever",
    "load_corpus",
    "prepare",
    "require_demo",
    "wrapped_retriever",
]

NEEDED = (
    "langchain_core", "ragwheel_langchain", "bm25s", "ibis", "duckdb", "pyarrow", "ir_measures", "scipy",
    "safetensors",
)  # fmt: skip
MARKER = "demo.json"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How to run the demo; ``k`` chunks go to the app, ``capture_k`` are recorded.

    ``retriever`` is ``bm25``, an embedding model (``minilm``, a folder, a hub id), or an adapter's folder.
    """

    out: Path = Path("ragwheel-demo")
    data: Path | None = None
    turns: int = 4_000
    retriever: str = "bm25"
    seed: int = 0
    k: int = 5
    capture_k: int = 40


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where one run of the demo puts its database and its dataset."""

    db: Path
    dataset: Path

    @property
    def evalset(self) -> Path:
        """The questions for a test, in BEIR's layout."""
        return self.db.with_name("evalset")

    @property
    def adapter(self) -> Path:
        """Where the demo proposes to put an adapter of MiniLM's query vectors."""
        return self.db.with_name("adapter")

    @property
    def reranker(self) -> Path:
        """The re-ranker that the demo trains."""
        return self.db.with_name("reranker")


def require_demo() -> None:
    """Raise :class:`MissingExtra` with the pip command when a package of the demo is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the demo needs {', '.join(missing)}, not installed in this Python. "
            "Next: pip install 'ragwheel[demo]' ragwheel-langchain"
        )


def prepare(options: DemoOptions, *, interactive: bool) -> DemoFolder:
    """Make the folder; simulated traces of an earlier demo are replaced, a person's own are kept.

    Raises :class:`DatasetError` when the folder holds something that no demo put there.
    """
    out = options.out
    if out.exists() and not out.is_dir():
        raise DatasetError(
            f"--out needs a folder; got the file {out}. Next: ragwheel demo --out ragwheel-demo"
        )
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise DatasetError(
            f"{out} is not empty and no demo made it; nothing in it was touched. Allowed: a new or empty "
            f"folder, or one of an earlier demo (it holds {MARKER}). Next: ragwheel demo --out {out}-demo"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text(json.dumps(asdict(options), default=str, indent=2) + "\n", encoding="utf-8")
    if interactive:
        return DemoFolder(out / "yours.db", out / "yours")
    folder = DemoFolder(out / "ragwheel.db", out / "dataset")
    for suffix in ("", "-wal", "-shm"):
        folder.db.with_name(folder.db.name + suffix).unlink(missing_ok=True)
    for path in (
        folder.db.with_name(folder.db.name + ".segments"),
        folder.dataset,
        folder.evalset,
        folder.reranker,
    ):
        shutil.rmtree(path, ignore_errors=True)
    return folder


def load_corpus(data: Path | None, on_progress: CountProgress | None = None) -> Corpus:
    """The folder's corpus, or this Python's documentation. Raises :class:`DatasetError`."""
    return read_python_docs(on_progress) if data is None else read_beir(data)


def app_retriever(
    options: DemoOptions, corpus: Corpus, on_progress: CountProgress | None = None
) -> BaseRetriever:
    """The demo's app: what an app has before ragwheel comes."""
    from ragwheel.demo.retrievers import build_retriever

    return build_retriever(options.retriever, corpus, options.k, on_progress)


def wrapped_retriever(options: DemoOptions, retriever: BaseRetriever) -> BaseRetriever:
    """What an app would write: one line that lets the wheel see ``capture_k``."""
    import ragwheel_langchain

    wrapped: BaseRetriever = ragwheel_langchain.wrap_retriever(
        retriever, capture_k=options.capture_k, version=Path(options.retriever).name
    )
    return wrapped
