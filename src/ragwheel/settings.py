"""The settings of ``configure`` and of the ``RAGWHEEL_*`` environment variables, validated in one place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ragwheel.errors import ConfigurationError

__all__ = ["Settings", "load"]

FROM_ENVIRONMENT: Final = (
    "db",
    "app",
    "capture_k",
    "sample_ratio",
    "export_content",
    "signing_keys",
    "durability",
    "sync_interval_s",
    "merge_interval_s",
    "merge_in",
    "max_text_chars",
)


class Settings(BaseModel):
    """The arguments of :func:`ragwheel.configure`, which documents them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )

    db: Path = Path("ragwheel.db")
    app: str = Field(default="", max_length=200)
    capture_k: int = Field(default=40, ge=1, le=1000)
    sample_ratio: float = Field(default=1.0, ge=0.0, le=1.0)
    redact: Callable[[str], str] | None = None
    export_content: bool = False
    exporters: tuple[Any, ...] = ()
    signing_keys: tuple[str, ...] = Field(default=(), repr=False)
    durability: Literal["process", "power"] = "process"
    sync_interval_s: float = Field(default=1.0, gt=0.0, le=60.0)
    merge_interval_s: float = Field(default=0.25, gt=0.0, le=60.0)
    merge_in: Literal["auto", "thread", "process"] = "thread"
    max_text_chars: int = Field(default=1_000_000, ge=100)

    @field_validator("db")
    @classmethod
    def _a_file(cls, db: Path) -> Path:
        try:
            usable = str(db) not in {"", ".", ":memory:"} and not db.expanduser().is_dir()
        except (OSError, RuntimeError):  # a name too long, a folder we may not enter, no home
            usable = False
        if not usable:
            raise ValueError("a path of a file (it is made when missing); traces in memory would be lost")
        return Path(os.path.realpath(db.expanduser()))  # by whatever link it is named: one journal, one lock

    @field_validator("signing_keys", mode="before")
    @classmethod
    def _keys(cls, keys: object) -> object:
        if isinstance(keys, str):
            keys = tuple(k.strip() for k in keys.split(",") if k.strip())
        for key in keys if isinstance(keys, (tuple, list)) else ():
            if not isinstance(key, str) or not re.fullmatch(
                r"[A-Za-z0-9_-]{1,16}:(?:[0-9a-fA-F]{2}){16,64}", key
            ):
                raise ValueError(
                    "strings '<key id>:<hex>', id of 1-16 letters, digits, _ or -, secret of 16-64 bytes"
                )
        return keys


def load(arguments: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings.

    Each comes from its argument unless that is None, else ``RAGWHEEL_*``, else a default.

    Raises:
        ConfigurationError: a value cannot be used; the message names the setting and where it came from.
    """
    values = {name: value for name, value in arguments.items() if value is not None}
    from_env = {}
    for name in FROM_ENVIRONMENT:
        variable = f"RAGWHEEL_{name.upper()}"
        if name not in values and environ.get(variable):
            values[name] = environ[variable]
            from_env[name] = variable
    try:
        return Settings(**values)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        where = from_env.get(name, f"configure({name}=...)")
        got = "a secret" if name == "signing_keys" else f"{first['input']!r:.200}"
        raise ConfigurationError(
            f"{where}: got {got}, allowed: {first['msg'].removeprefix('Value error, ')}. "
            f"All settings: python -c 'import ragwheel; help(ragwheel.configure)'"
        ) from None
