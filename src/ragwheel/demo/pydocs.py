"""The running Python's own documentation as a corpus: text that every machine has.

Docstrings of the standard library are read from its source files without importing them, those of
the compiled modules from the interpreter itself, and the language reference from
``pydoc_data.topics``. A docstring's one-line summary is the question; the passages that answer it
hold the **rest** of the docstring under the object's signature, never the summary line itself.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ragwheel.demo.corpus import Corpus, Passage, Query
from ragwheel.errors import DatasetError

__all__ = ["read_python_docs"]

PART_CHARS = 1_200
MOST_RELEVANT = 8  # a summary that more passages share ("Emit a record.") says too little to be a question
SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idlelib", "site-packages", "dist-packages", "lib2to3", "ensurepip", "turtledemo"}
    | {"pydoc_data", "distutils", "__pycache__", "encodings", "lib-dynload", "_pyrepl"}
)

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented thing: its dotted name, how it is called, its summary line and the rest."""

    name: str
    signature: str
    summary: str
    rest: str


def read_python_docs(on_progress: Callable[[int, int], None] | None = None) -> Corpus:
    """The corpus of this interpreter (about 3,200 passages, 2,400 questions; some seconds of parsing).

    ``on_progress(done, total)`` is called with the number of source files read.
    Raises :class:`DatasetError` when this Python carries no documentation.
    """
    entries = [*_library_entries(on_progress), *_compiled_entries(), *_topic_entries()]
    passages: dict[str, Passage] = {}
    relevant: dict[str, set[str]] = {}
    hints: dict[str, str] = {}
    seen_texts: dict[str, str] = {}
    for entry in entries:
        ids: set[str] = set()
        for passage in _parts(entry):
            if passage.id in passages:
                continue  # a second definition of the same name, for another platform
            first = seen_texts.setdefault(passage.text, passage.id)
            if first == passage.id:
                passages[first] = passage
            ids.add(first)  # a documentation copied elsewhere is one passage
        if _is_question(entry):
            relevant.setdefault(entry.summary, set()).update(ids)
            hints.setdefault(entry.summary, entry.name.replace(".", " ").replace("_", " "))
    queries = tuple(
        Query(f"q{number}", text, frozenset(ids), hints[text])
        for number, (text, ids) in enumerate(relevant.items())
        if 1 <= len(ids) <= MOST_RELEVANT and not any(text in passages[id].text for id in ids)
    )
    if not queries:
        raise DatasetError(
            f"this Python ({sys.executable}) carries no documentation: its docstrings were stripped or its "
            "library has no source files. Next: ragwheel demo --data DIR with a BEIR-layout folder"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Corpus(f"python {version} documentation", tuple(passages.values()), queries)


def _is_question(entry: Entry) -> bool:
    words = entry.summary.split()
    return 3 <= len(words) <= 30 and len(entry.summary) <= 160


def _parts(entry: Entry) -> list[Passage]:
    """The rest of an entry as passages of at most about ``PART_CHARS`` characters, cut at paragraphs."""
    parts: list[str] = []
    size = PART_CHARS
    for paragraph in re.split(r"\n\s*\n", entry.rest):
        if size + len(paragraph) > PART_CHARS:
            parts.append(paragraph)
            size = len(paragraph)
        else:
            parts[-1] += "\n\n" + paragraph
            size += len(paragraph)
    module = entry.name.partition(".")[0]
    return [
        Passage(
            id=entry.name if number == 1 else f"{entry.name}#{number}",
            title=entry.name,
            text=f"{entry.signature}\n\n{part.strip()}",
            metadata={"title": entry.name, "category": module},
        )
        for number, part in enumerate(parts, 1)
    ]


def _entry(name: str, signature: str, doc: str | None) -> Entry | None:
    """An entry when the docstring has a one-line summary and something after it."""
    if not doc:
        return None
    summary, _, rest = inspect.cleandoc(doc).partition("\n\n")
    if "\n" in summary.strip() or len(rest.strip()) < 60:
        return None
    return Entry(name, signature, summary.strip(), rest.strip("\n"))


def _library_entries(on_progress: Callable[[int, int], None] | None) -> Iterator[Entry]:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [
        path
        for path in sorted(root.rglob("*.py"))
        if not any(
            part in SKIPPED_FOLDERS or part.startswith("config-") for part in path.relative_to(root).parts
        )
    ]
    for number, path in enumerate(files, 1):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        yield from _source_entries(module, path)
        if on_progress is not None:
            on_progress(number, len(files))


def _source_entries(module: str, path: Path) -> Iterator[Entry]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return  # templates and deliberately broken files live in the library, too
    if entry := _entry(module, f"module {module}", ast.get_docstring(tree)):
        yield entry
    waiting: list[tuple[str, ast.AST]] = [(module, tree)]
    while waiting:
        prefix, parent = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, Documented):
                name = f"{prefix}.{node.name}"
                if entry := _entry(name, _signature(name, node), ast.get_docstring(node)):
                    yield entry
                waiting.append((name, node))
            elif isinstance(node, ast.If | ast.Try):
                waiting.append((prefix, node))


def _signature(name: str, node: Documented) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases})" if bases else f"class {name}"
    return f"{name}({ast.unparse(node.args)})"


def _compiled_entries() -> Iterator[Entry]:
    """The modules built into the interpreter: ``str.partition``, ``itertools.groupby``, ``time.sleep``."""
    for module_name in sorted(name for name in sys.builtin_module_names if not name.startswith("_")):
        module = importlib.import_module(module_name)
        for name, value in sorted(vars(module).items()):
            if name.startswith("_"):
                continue
            yield from _object_entries(f"{module_name}.{name}", value)
            if isinstance(value, type):
                for attribute, member in sorted(vars(value).items()):
                    if not attribute.startswith("_"):
                        yield from _object_entries(f"{module_name}.{name}.{attribute}", member)


def _object_entries(name: str, value: object) -> Iterator[Entry]:
    if not (inspect.isroutine(value) or isinstance(value, type)):
        return
    try:
        signature = str(inspect.signature(value))
    except (ValueError, TypeError):
        signature = "(...)"  # compiled without a text signature
    if entry := _entry(name, f"{name}{signature}", inspect.getdoc(value)):
        yield entry


def _topic_entries() -> Iterator[Entry]:
    """The language reference: the title is the question, the text below it the passages."""
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return  # some distributions package it apart
    for key, text in sorted(topics.items()):
        title, _, rest = text.strip().partition("\n")
        rest = rest.lstrip("*=-\n")
        if entry := _entry(f"topics.{key}", title.strip(), f"{title.strip()}\n\n{rest}"):
            yield entry
