"""``load_dataset`` gives the rows that are in the folder now, whatever its cache remembers."""

import json
import shutil
import subprocess
import sys

import datasets as hub
import pytest
import yaml

from ragwheel import offline
from ragwheel.datasets import build
from ragwheel.testing import TraceStore


@pytest.fixture(autouse=True)
def _one_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(hub.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def queries(folder, config="pairs", column="query"):
    loaded = hub.load_dataset(str(folder), config)
    return sorted({row for split in loaded.values() for row in split[column]})


def test_a_second_build_into_one_folder(store, ask_many, tmp_path):
    first = ask_many(3, "first")
    build(store.path, tmp_path / "dataset")
    assert queries(tmp_path / "dataset") == sorted(first)
    second = ask_many(4, "second")
    build(store.path, tmp_path / "dataset")
    assert queries(tmp_path / "dataset") == sorted(first + second)


def test_two_folders_of_one_name_and_as_many_rows(tmp_path):
    """Equal counts: only what is in the files tells the two apart."""
    for shop in ("tea", "coffee"):
        with TraceStore(tmp_path / f"{shop}.db") as store:
            for n in range(3):
                words = " ".join(f"{shop}{n}{letter}" for letter in "abcd")
                store.ask(words, [f"{shop}{n}-{c}" for c in "xyz"], cited=[1], prompted=[1, 2, 3])
        build(tmp_path / f"{shop}.db", tmp_path / shop / "dataset")
    for shop in ("tea", "coffee", "tea"):
        assert all(query.startswith(shop) for query in queries(tmp_path / shop / "dataset"))
    shutil.rmtree(tmp_path / "tea")
    (tmp_path / "coffee").rename(tmp_path / "tea")
    assert all(query.startswith("coffee") for query in queries(tmp_path / "tea" / "dataset"))


def test_after_an_erasure(store, ask_many, tmp_path):
    kept = ask_many(3, "kept", user_id="bob")
    erased = ask_many(2, "erased", user_id="ada")
    build(store.path, tmp_path / "dataset")
    assert queries(tmp_path / "dataset") == sorted(kept + erased)
    offline.erase(store.path, offline.Selection(user="ada"))
    assert queries(tmp_path / "dataset") == sorted(kept)


def test_the_card_shows_a_row_its_size_and_what_evidence_means_and_no_row_that_was_erased(
    store, ask_many, tmp_path
):
    kept = ask_many(3, "kept", user_id="bob")
    erased = ask_many(2, "erased", user_id="ada")
    out = build(store.path, tmp_path / "dataset").out
    path = out / "README.md"
    card = path.read_text("utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["size_categories"] == ["n<1K"]
    assert (head["license"], head["language"]) == ("other", "und")
    assert "| the answer cited the chunk |" in card
    assert any(query in shown(card)["anchor"] for query in kept + erased)
    path.write_text(card.replace("license: other", "license: mit"), "utf-8")
    offline.erase(store.path, offline.Selection(user="ada"))
    card = path.read_text("utf-8")
    assert "license: mit" in card, "what a person wrote stays"
    assert shown(card)["anchor"] in kept
    assert "erased" not in card
    offline.erase(store.path, offline.Selection(user="bob"))
    assert "There is no row." in path.read_text("utf-8")


def shown(card):
    """The example row of a card."""
    return json.loads(card.split("<!-- example row -->\n```json\n")[1].split("```")[0])


def test_the_same_rows_have_the_same_card(store, ask_many, tmp_path):
    ask_many(3)
    cards = []
    for folder in ("one", "other"):
        build(store.path, tmp_path / folder)
        cards.append((tmp_path / folder / "README.md").read_text("utf-8"))
    assert cards[0] == cards[1]


@pytest.fixture
def without_triplets(store):
    """One question many times, its only chunk cited: a positive and nothing that could be a negative."""
    for _ in range(20):
        store.ask("what is tea made of", ["leaves"], cited=[1], prompted=[1])
    return store.path


def test_a_config_without_rows_is_not_in_the_cards_head(without_triplets, tmp_path):
    report = build(without_triplets, tmp_path / "dataset")
    assert sum(report.rows["triplets"].values()) == 0
    assert "triplets" not in hub.get_dataset_config_names(str(tmp_path / "dataset"))
    assert queries(tmp_path / "dataset") == ["what is tea made of"]
    assert len(hub.load_dataset(str(tmp_path / "dataset"))["train"]) == report.rows["positives"]["train"]


@pytest.mark.parametrize("installed", [True, False], ids=["datasets installed", "datasets missing"])
def test_the_next_command_after_a_build_works(without_triplets, tmp_path, installed):
    code = (
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        f"hidden = {[] if installed else ['datasets']}\n"
        "importlib.util.find_spec = lambda name, *more: None if name in hidden else find(name, *more)\n"
        "from ragwheel.cli.app import main\n"
        "main()"
    )
    arguments = ["build", "--db", str(without_triplets), "--out", str(tmp_path / "dataset")]
    printed = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    ).stdout
    (command,) = [line.split("python -c ", 1)[1] for line in printed.splitlines() if "python -c " in line]
    assert ("datasets.load_dataset" in command) == installed
    program = command.strip().strip('"')
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
