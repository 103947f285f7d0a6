"""What each command prints, and how it exits."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ragwheel import __version__
from ragwheel.cli import app
from ragwheel.testing import TraceStore

ESCAPE = "\x1b"


def invoke(*args: object):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_help_lists_the_commands_in_the_order_of_use():
    listed = re.findall(r"│ (\w+) ", invoke("--help").output)
    first = [
        "demo",
        "probe",
        "status",
        "doctor",
        "show",
        "build",
        "review",
        "grade",
        "judge",
        "train",
        "evaluate",
    ]
    assert listed[: len(first)] == first
    assert listed[11:17] == ["compare", "experiment", "fewshot", "report", "serve", "import"]
    assert listed[17:] == ["export", "ship", "erase", "prune", "backup"]


def test_version():
    assert invoke("--version").output == f"ragwheel {__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["no-such-command"],
        ["status", "--no-such-option"],
        ["build"],
        ["demo", "--turns", "0"],
        ["show", "a", "b"],
    ],
)
def test_typed_wrongly_is_exit_code_2(args):
    ended = invoke(*args)
    assert ended.exit_code == 2
    assert "Usage:" in ended.stderr
    assert ended.stdout == ""


def test_status(traces):
    ended = invoke("status", "--db", traces)
    assert ended.exit_code == 0
    assert "400 in 134 sessions" in ended.output
    assert re.search(r"evaluation +\d+ +20 ", ended.output)
    assert f"ragwheel build --db {traces}" in ended.output


def test_database_from_the_environment(traces, monkeypatch):
    monkeypatch.setenv("RAGWHEEL_DB", str(traces))
    assert "400 in 134 sessions" in invoke("status").output


def test_doctor(traces):
    ended = invoke("doctor", "--db", traces)
    assert ended.exit_code == 0
    assert "quick check found no damage" in ended.output
    assert "single merger" in " ".join(ended.output.split())


def test_show_and_list(traces):
    listed = invoke("show", "--list", "-n", "3", "--db", traces).output.splitlines()
    assert len(listed) == 4
    id = listed[1].split()[0]
    last = invoke("show", "--db", traces).output
    assert f"turn {id}" in last
    assert invoke("show", id, "--db", traces).output == last
    assert "30 more were only logged" in last
    everything = invoke("show", "--all", "--db", traces).output
    assert "only logged" not in everything
    assert everything.count(" logged ") == 30


@pytest.mark.parametrize(
    "args", [["status"], ["doctor"], ["show"], ["show", "--list"], ["build", "--out", "made"]], ids=" ".join
)
def test_json_is_one_document(traces, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    ended = invoke(*args, "--json", "--db", traces)
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)
    assert ended.stderr == ""


@pytest.mark.parametrize("args", [["status"], ["doctor"], ["show"], ["show", "--list"]], ids=" ".join)
def test_piped_output_has_no_colour_codes_and_fits_80_columns(ragwheel, traces, args):
    ended = ragwheel(*args, "--db", traces)
    assert ended.returncode == 0, ended.stderr
    assert ESCAPE not in ended.stdout + ended.stderr
    wide = [
        line for line in ended.stdout.splitlines() if len(line.rstrip()) > 80 and not line.startswith("next")
    ]
    assert [line for line in wide if str(traces) not in line] == []


def test_build_prints_rows_rules_and_what_next(ragwheel, traces, tmp_path):
    out = tmp_path / "dataset"
    ended = ragwheel("build", "--db", traces, "--out", out)
    assert ended.returncode == 0, ended.stderr
    for words in ("triplets", "pairs", "lists", "evidence", "left out", "load_dataset"):
        assert words in ended.stdout
    assert (out / "manifest.json").is_file()


def test_build_says_which_formats_there_are(traces, tmp_path):
    ended = invoke("build", "--db", traces, "--out", tmp_path / "made", "--format", "csv")
    assert ended.exit_code == 1
    assert "st-triplet" in ended.stderr
    assert not (tmp_path / "made").exists()


def test_build_without_its_extra_says_what_to_install(traces, tmp_path, monkeypatch):
    monkeypatch.setattr("ragwheel.cli.extras.NEEDED", ("json", "no_such_package"))
    ended = invoke("build", "--db", traces, "--out", tmp_path / "made")
    assert ended.exit_code == 1
    assert "needs no_such_package" in ended.stderr
    assert "pip install 'ragwheel[build]'" in ended.stderr


def test_ctrl_c_leaves_nothing_half_written(traces, tmp_path):
    out = tmp_path / "made"
    code = (
        "import signal, sys\n"
        "from ragwheel import datasets\n"
        "from ragwheel.cli import main\n"
        "real = datasets.build\n"
        "def build(db, out, *, options, progress):\n"
        "    def interrupted(stage, done, total):\n"
        "        progress(stage, done, total)\n"
        "        if stage == 'rows':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "    return real(db, out, options=options, progress=interrupted)\n"
        "datasets.build = build\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "build", "--db", str(traces), "--out", str(out)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 130
    lines = ended.stderr.strip().splitlines()  # on a slow machine, how far it is comes before
    assert lines[-1] == "ragwheel: stopped by Ctrl-C; nothing is left half-written"
    assert all(line.strip().startswith("building the dataset: ") for line in lines[:-1])
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_error(traces):
    command = [
        sys.executable,
        "-c",
        "from ragwheel.cli import main; main()",
        "show",
        "--all",
        "--json",
        "--db",
        traces,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shown:
        shown.stdout.close()
        assert shown.stderr.read() == ""


def test_stored_text_cannot_drive_the_terminal(tmp_path):
    import ragwheel

    db = tmp_path / "app.db"
    ragwheel.configure(db=db)
    ragwheel.retriever(lambda query: ["evil \x1b]0;title\x07 [bold]markup[/bold]"])("red \x1b[31mquery")
    ragwheel.shutdown()
    printed = invoke("show", "--db", db).output
    assert ESCAPE not in printed
    assert "\x07" not in printed
    assert "[bold]mark" in printed


def test_show_prints_what_the_answer_was_thought_out_from(tmp_path):
    with TraceStore(tmp_path / "app.db") as store:
        store.ask("What is tea?", ["leaf"], answer="A drink.", reasoning="The leaf\x1b[2J says so.")
    ended = CliRunner().invoke(app, ["show", "--db", str(store.path)])
    assert ended.exit_code == 0, ended.output
    assert "reasoning  The leaf" in ended.output
    assert "\x1b[2J" not in ended.output
