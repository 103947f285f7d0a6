"""Hooks of the documentation's site: links out of ``docs/``, and the pages that are made from the code.

MkDocs calls the functions named ``on_…`` while it builds the site (https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

LINK = re.compile(r"\]\((?P<target>\.\./[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
PLACEHOLDER = re.compile(r"^<!-- (commands|policy|settings) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point links that leave ``docs/`` at the repository, and fill in the list of commands."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def absolute(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["target"]))
        if path.startswith("docs/"):
            return link[0]
        return f"]({config.extra['repository']}/blob/main/{path}{link['anchor'] or ''})"

    markdown = LINK.sub(absolute, markdown)
    return PLACEHOLDER.sub(
        lambda match: {"commands": commands, "policy": policy, "settings": settings}[match[1]](), markdown
    )


def policy() -> str:
    """The label policy as it ships, as a block of TOML."""
    from importlib.resources import files

    return f"```toml\n{(files('ragwheel') / 'labels' / 'policy.toml').read_text('utf-8')}```\n"


def settings() -> str:
    """The table of the settings that ``RAGWHEEL_…`` variables may give, with their defaults."""
    from ragwheel.settings import FROM_ENVIRONMENT, Settings

    lines = ["| argument | variable | default |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        variable = f"`RAGWHEEL_{name.upper()}`" if name in FROM_ENVIRONMENT else "only as an argument"
        lines.append(f"| `{name}` | {variable} | `{field.default!r}` |")
    return "\n".join(lines)


def commands() -> str:
    """Every command with its arguments and options, as Markdown, from the commands themselves."""
    import typer.main

    from ragwheel.cli import app

    lines: list[str] = []
    _describe(typer.main.get_command(app), "ragwheel", lines)
    return "\n".join(lines)


def _describe(command: Any, name: str, lines: list[str]) -> None:
    children = getattr(command, "commands", None)
    if children is None:
        usage = " ".join(command.collect_usage_pieces(command.context_class(command, info_name=name)))
        lines += ["", f"## {name}", "", _prose(command.help), "", "```text", f"{name} {usage}", "```", ""]
        options = [p for p in command.params if not _is_argument(p) and not p.hidden]
        if options:
            lines += ["| option | default | what it does |", "|---|---|---|"]
            lines += [_row(option) for option in options]
        return
    for child, below in sorted(children.items()):
        if not below.hidden:
            _describe(below, f"{name} {child}", lines)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _row(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default = option.default
    shown = (
        "" if default in {None, False, ()} or callable(default) else f"`{getattr(default, 'value', default)}`"
    )
    return f"| {names} | {shown} | {_prose(option.help).replace('|', '&#124;')} |"


def _prose(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("<", "&lt;").strip()
