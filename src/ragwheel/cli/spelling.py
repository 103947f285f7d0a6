"""Options as earlier releases spelled them: still understood, with a note on how they are typed today."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Final

import typer

__all__ = ["OLD_SPELLINGS", "as_typed_today", "export_as_typed_today"]

#: Of each command, its options of earlier releases and how each is typed today; ``{}`` is the option's value.
#: What does not begin with a dash is an argument and is put at the end.
OLD_SPELLINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "evaluate": {"--dataset": "{}", "--cache": ""},
    "compare": {"--dataset": "{}"},
    "report": {"--dataset": "{}"},
    "review": {"--dataset": "{}", "--rater": "--judge {}"},
    "grade": {"--show-grades": "--not-blind"},
    "judge": {
        "--base-url": "--llm-url {}", "--model": "--llm-model {}", "--timeout-s": "--llm-timeout {}",
        "--max-tokens": "--llm-max-tokens {}", "--temperature": "--llm-temperature {}",
    },
    "erase": {"--datasets": "--dataset {}"},
    "experiment new": {"--folder": "--experiments {}"},
    "experiment run": {"--dataset": "{}", "--folder": "--experiments {}"},
    "experiment list": {"--folder": "--experiments {}"},
    "experiment show": {"--folder": "--experiments {}"},
    "experiment roadmap": {"--dataset": "{}"},
    "train adapter": {"--two-sided": "--side both", "--embed-allow-private": "--allow-private"},
    "fewshot build": {"--embed": "--encoder {}", "--llm-allow-private": "--allow-private"},
    "fewshot test": {"--llm-allow-private": "--allow-private"},
    "fewshot rotate": {"--max-age-days": "--older-than {}d"},
}  # fmt: skip


def as_typed_today(command: str, words: Sequence[str]) -> list[str]:
    """Return the words behind a command with old spellings replaced; a note on standard error names each.

    With ``--json`` there is no note, so that a script that reads both streams is not disturbed.

    Args:
        command: The command without ``ragwheel``, such as ``train adapter``.
        words: What was typed behind it.
    """
    old = OLD_SPELLINGS.get(command, {})
    if not any(word.partition("=")[0] in old for word in words):
        return list(words)
    today: list[str] = []
    arguments: list[str] = []
    notes: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            today += [word, *rest]
            break
        option, _, value = word.partition("=")
        new = old.get(option)
        if new is None:
            today.append(word)
            continue
        if "{}" in new:
            value = value or next(rest, "")
            new_words = [part.replace("{}", value) for part in new.split()]
        else:
            new_words = new.split()
        if new_words and not new_words[0].startswith("--"):
            arguments += new_words
        else:
            today += new_words
        notes.append(f"{option} is typed {' '.join(new_words) or 'no longer: it is the default'} since 0.3")
    if notes and "--json" not in words:
        typer.echo(f"ragwheel {command}: " + "; ".join(notes), err=True)
    return [*today, *arguments]


#: Options of ``export`` in earlier releases that are followed by no value.
_EXPORT_FLAGS: Final = frozenset({"--json", "--public"})
_ANNOTATIONS: Final = frozenset({"openinference", "langfuse-scores"})
_TRACE_FORMATS: Final = frozenset({"ubi", "trec-run"})


def export_as_typed_today(words: Sequence[str], commands: Collection[str]) -> list[str]:
    """Return the words behind ``ragwheel export`` with the command that earlier releases did without.

    ``export parquet DEST`` and ``export grades`` remain without a note; of the others a note says how they
    are typed today.
    """
    typed = list(words)
    options, arguments = _split(typed)
    if arguments[:1] == ["parquet"]:
        to = ["--out", arguments[1]] if len(arguments) > 1 else []
        return ["traces", *to, *arguments[2:], *options]
    # a single `dataset` is the folder of that name, as the documentation called it
    today_already = bool(typed) and typed[0] in commands and arguments != ["dataset"]
    if not options or today_already or {"-h", "--help"} & set(typed):
        return typed
    values = dict(pairwise(options))
    target = values.get("--push-to-hub")
    noted = True
    if arguments and arguments[0] in commands and arguments != ["dataset"]:
        noted = False
        today = [*arguments, *options]
    elif arguments and arguments[0] in _ANNOTATIONS:
        today = ["grades", "--format", arguments[0], *arguments[1:], *options]
    elif target is not None:
        at = options.index("--push-to-hub")
        today = ["hub", *arguments, target, *options[:at], *options[at + 2 :]]
    elif values.get("--format") in _TRACE_FORMATS:
        today = ["traces", *options]
    else:
        today = ["dataset", *arguments, *options]
    if today[0] in {"dataset", "hub"}:
        today = _without(today, "--db")  # it was accepted, and not read
    if noted and "--json" not in typed:
        typer.echo(f"ragwheel export: since 0.3 this is typed: ragwheel export {shlex.join(today)}", err=True)
    return today


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split words into options with their values, each a word, and arguments."""
    options: list[str] = []
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if not word.startswith("-"):
            arguments.append(word)
        elif equals:
            options += [option, value]
        elif word in _EXPORT_FLAGS:
            options.append(word)
        else:
            options += [word, *([value] if (value := next(rest, "")) else [])]
    return options, arguments


def _without(words: Sequence[str], option: str) -> list[str]:
    """Return the words without an option and its value."""
    if option not in words:
        return list(words)
    at = list(words).index(option)
    return [*words[:at], *words[at + 2 :]]
