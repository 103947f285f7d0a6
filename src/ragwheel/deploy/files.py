"""The two files of an adapter: ``adapter.safetensors`` (the tensors) and ``adapter.json`` (what they are)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ragwheel.errors import MissingExtra, ModelError
from ragwheel.files import write_atomically

__all__ = ["ABOUT", "FORMAT_VERSION", "TENSORS", "damaged", "read", "write"]

ABOUT: Final = "adapter.json"
TENSORS: Final = "adapter.safetensors"
FORMAT: Final = "ragwheel-adapter"
FORMAT_VERSION: Final = 1


def write(folder: Path, tensors: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write both files atomically, the description last."""
    numpy_files = _safetensors()
    described = {"format": FORMAT, "format_version": FORMAT_VERSION, **about}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / TENSORS, numpy_files.save(dict(tensors)))
        write_atomically(
            folder / ABOUT, (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode()
        )
    except OSError as error:
        raise ModelError(f"{folder}: the adapter cannot be written ({error.strerror or error})") from error


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of both files; raises the errors of :meth:`ragwheel.deploy.Adapter.load`."""
    numpy_files = _safetensors()
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        raw = (folder / TENSORS).read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder}: no {Path(error.filename or ABOUT).name} there, so it is no adapter. "
            "Next: ragwheel train adapter DATASET --out DIR"
        ) from None
    except (OSError, ValueError) as error:
        raise damaged(folder, str(error)) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ModelError(f'{folder / ABOUT}: not ragwheel\'s: its "format" is not {FORMAT!r}')
    if about.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{folder}: format version {about.get('format_version')!r}, this ragwheel reads "
            f"{FORMAT_VERSION}. Next: pip install -U ragwheel"
        )
    try:
        return numpy_files.load(raw), about
    except Exception as error:  # safetensors has an error type of its own
        raise damaged(folder, str(error)) from error


def damaged(folder: Path, why: str) -> ModelError:
    """Return the error for a folder with damaged files."""
    return ModelError(f"{folder}: the adapter is damaged ({why}). Copy the folder again, or train it again.")


def _safetensors() -> Any:
    try:
        import numpy  # noqa: F401, ICN001 - only asked whether it is there
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"an adapter needs {error.name}, not installed here. Next: pip install 'ragwheel[deploy]'"
        ) from error
    return safetensors.numpy
