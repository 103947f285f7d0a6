"""One spelling for each option in all commands; what was typed before still works, with a note."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
import typer.main
from rich.markup import render
from typer.testing import CliRunner

from ragwheel.cli import app
from ragwheel.cli.spelling import OLD_SPELLINGS, as_typed_today, export_as_typed_today

EXPORTS = ("dataset", "grades", "traces", "hub")


def commands(command=None, name=""):
    command = command or typer.main.get_command(app)
    children = getattr(command, "commands", None)
    if children is None:
        return {name: command}
    return {
        k: v
        for child, below in children.items()
        for k, v in commands(below, f"{name} {child}".strip()).items()
    }


COMMANDS = commands()


def options(command):
    return {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_80_columns_and_names_no_type_behind_a_flag(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    printed = CliRunner().invoke(app, [*name.split(), "--help"]).output
    assert max(map(len, printed.splitlines())) <= 80
    assert "<bool>" not in printed
    assert "…" not in printed, "an option or its type is cut"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_says_what_it_is(name):
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert render(parameter.help).plain == parameter.help, "rich takes a part of it for markup"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_dataset_is_an_argument(name):
    for parameter in COMMANDS[name].params:
        if parameter.name == "dataset":
            assert parameter.param_type_name == "argument"


def test_an_option_has_one_short_form_and_one_meaning_of_flag():
    shorts, flags = defaultdict(set), defaultdict(set)
    for command in COMMANDS.values():
        for option in command.params:
            long = [name for name in option.opts if name.startswith("--")]
            for name in option.opts:
                if not name.startswith("--") and name.startswith("-"):
                    shorts[name].update(long)
            for name in long:
                flags[name].add(option.is_flag)
    assert {name: longs for name, longs in shorts.items() if len(longs) != 1} == {"-k": set()}
    assert {name for name, kinds in flags.items() if len(kinds) > 1} == set()


@pytest.mark.parametrize(
    ("command", "old", "today"),
    [(c, old, new) for c, table in OLD_SPELLINGS.items() for old, new in table.items()],
)
@pytest.mark.parametrize("joined", [False, True], ids=["--a b", "--a=b"])
def test_an_old_spelling_is_read_as_todays(command, old, today, joined, capsys):
    value = ([f"{old}=7"] if joined else [old, "7"]) if "{}" in today else [old]
    read = as_typed_today(command, ["first", *value, "--last", "x"])
    expected = today.replace("{}", "7").split()
    if expected and expected[0].startswith("--"):
        assert read == ["first", *expected, "--last", "x"]
        assert expected[0] in options(COMMANDS[command])
    else:
        assert read == ["first", "--last", "x", *expected]
    assert old not in options(COMMANDS[command])
    noted = capsys.readouterr().err
    assert noted.startswith(f"ragwheel {command}: {old} is typed ")
    assert " ".join(expected) in noted


def test_a_note_spares_scripts_and_words_behind_two_dashes(capsys):
    assert as_typed_today("review", ["--rater", "a", "--json"]) == ["--judge", "a", "--json"]
    assert as_typed_today("evaluate", ["--", "--dataset", "x"]) == ["--", "--dataset", "x"]
    assert as_typed_today("status", ["--dataset", "x"]) == ["--dataset", "x"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("data --format beir --out o", "dataset data --format beir --out o"),
        ("--out=o data --format=beir", "dataset data --out o --format beir"),
        ("dataset --format beir --out o", "dataset dataset --format beir --out o"),
        ("--format ubi --db a.db --out o --json", "traces --format ubi --db a.db --out o --json"),
        ("--db a.db --format trec-run --out o", "traces --db a.db --format trec-run --out o"),
        ("openinference --db a.db --out f.json", "grades --format openinference --db a.db --out f.json"),
        ("langfuse-scores --out f.json", "grades --format langfuse-scores --out f.json"),
        ("data --push-to-hub a/b --public", "hub data a/b --public"),
        ("parquet s3://lake --db a.db", "traces --out s3://lake --db a.db"),
        ("parquet lake", "traces --out lake"),
        ("parquet --help", "traces --help"),
        ("--db a.db parquet lake", "traces --out lake --db a.db"),
        ("--db a.db grades --out g.csv", "grades --db a.db --out g.csv"),
        ("beir --format beir --out o --db a.db", "dataset beir --format beir --out o"),
    ],
)
def test_export_without_its_command_is_read_as_today(old, today):
    assert export_as_typed_today(old.split(), EXPORTS) == today.split()


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "--help",
        "dataset data --format beir --out o",
        "grades --out g.csv",
        "traces --out lake",
        "hub data a/b",
        "data",
    ],
)
def test_export_as_it_is_typed_today_is_left_alone(typed, capsys):
    assert export_as_typed_today(typed.split(), EXPORTS) == typed.split()
    assert capsys.readouterr().err == ""


def test_export_notes_how_it_is_typed_today(ragwheel, traces, tmp_path):
    done = ragwheel("export", "--format", "ubi", "--db", traces, "--out", tmp_path / "a b")
    assert done.returncode == 0, done.stderr
    assert re.search(r"typed: ragwheel export traces --format ubi --db \S+ --out '.*a b'", done.stderr)


def test_a_format_of_the_other_kind_says_where_it_is(ragwheel):
    wrong = ragwheel("export", "traces", "--out", "o", "--format", "beir")
    assert wrong.returncode == 1
    assert "expected one of parquet, " in wrong.stderr
    assert "ragwheel export dataset -h" in wrong.stderr
    wrong = ragwheel("export", "dataset", "d", "--out", "o", "--format", "ubi")
    assert "ragwheel export traces -h" in wrong.stderr
    wrong = ragwheel("export", "grades", "--out", "o.csv", "--format", "xml")
    assert "expected one of table, openinference, langfuse-scores" in wrong.stderr
