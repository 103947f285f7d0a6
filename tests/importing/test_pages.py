"""The pages "From X to a tuned retriever": their commands run, on a sample of the files that they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.importing.samples import QUESTIONS, SAMPLES
from typer.testing import CliRunner

from ragwheel.cli.app import app
from ragwheel.importing import TOOLS
from ragwheel.importing.remotes import is_address

PAGES = Path(__file__).parents[2] / "docs" / "imports"


def commands(page):
    """The four commands of a page."""
    block = re.search(r"```sh\n(.*?)```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    return [shlex.split(line) for line in block[1].splitlines()]


def accepts(arguments):
    """Parse the arguments of a command as the command line does, without running it."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    while hasattr(command, "commands"):
        context = typer.Context(command, info_name=arguments[0], parent=context)
        command = command.get_command(context, arguments.pop(0))
    with command.make_context("", list(arguments), parent=context) as parsed:
        return parsed.params


def test_every_tool_has_a_page_and_a_sample():
    names = {"otel-genai" if tool.name == "otel-genai" else tool.name for tool in TOOLS}
    assert names == SAMPLES.keys() == {path.stem for path in PAGES.glob("*.md")} - {"index"}


@pytest.mark.parametrize("page", SAMPLES)
def test_the_four_commands_of_a_page_lead_to_training_rows(page, tmp_path, monkeypatch):
    first, load, build, train = commands(page)
    assert first[0] in {"pip", "python", "curl", "otelcol"}
    assert [command[:2] for command in (load, build)] == [["ragwheel", "import"], ["ragwheel", "build"]]
    monkeypatch.chdir(tmp_path)
    files = SAMPLES[page]()
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    if any(is_address(argument) for argument in load):
        load = ["ragwheel", "import", *files, *load[load.index("--db") :]]
    else:
        named = {argument for argument in load[2:] if Path(argument).suffix in {".json", ".jsonl", ".csv"}}
        assert named == files.keys(), "the page names the files that it makes"
    done = CliRunner().invoke(app, load[1:])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, build[1:])
    assert done.exit_code == 0, done.output
    import pyarrow.parquet as pq

    rows = pq.read_table(Path("dataset", "positives", "train.parquet")).to_pylist()
    assert len(rows) >= len(QUESTIONS) / 3
    for row in rows:
        subject = row["anchor"].split()[2]
        assert row["positive"].startswith(f"Passage 0 tells of {subject} ")
    assert accepts(train[1:])["out"] == Path("model")
