"""Settings: from arguments, from the environment, and what is said about a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

import ragwheel
from ragwheel.errors import ConfigurationError
from ragwheel.settings import FROM_ENVIRONMENT, Settings, load

KEY = "k1:" + "ab" * 16


def test_defaults():
    found = load({}, {})
    assert found == Settings()
    assert found.db == Path("ragwheel.db").absolute()  # a later chdir of the app changes nothing
    assert (found.capture_k, found.sample_ratio, found.durability, found.export_content) == (
        40,
        1.0,
        "process",
        False,
    )


def test_environment(tmp_path):
    environ = {
        "RAGWHEEL_DB": str(tmp_path / "x.db"),
        "RAGWHEEL_APP": "shop",
        "RAGWHEEL_CAPTURE_K": "7",
        "RAGWHEEL_SAMPLE_RATIO": "0.5",
        "RAGWHEEL_EXPORT_CONTENT": "true",
        "RAGWHEEL_SIGNING_KEYS": f"{KEY}, k2:{'cd' * 16},",
        "RAGWHEEL_DURABILITY": "power",
        "RAGWHEEL_SYNC_INTERVAL_S": "2",
        "RAGWHEEL_MERGE_INTERVAL_S": "0.5",
        "RAGWHEEL_MERGE_IN": "auto",
        "RAGWHEEL_MAX_TEXT_CHARS": "1000",
    }
    assert environ.keys() == {f"RAGWHEEL_{name.upper()}" for name in FROM_ENVIRONMENT}
    found = load({}, environ)
    assert (found.db, found.app, found.capture_k, found.sample_ratio) == (tmp_path / "x.db", "shop", 7, 0.5)
    assert (found.export_content, found.signing_keys) == (True, (KEY, f"k2:{'cd' * 16}"))
    assert (found.durability, found.sync_interval_s, found.merge_interval_s) == ("power", 2.0, 0.5)
    assert (found.max_text_chars, found.merge_in) == (1000, "auto")
    assert load({"capture_k": 3, "app": None}, environ).capture_k == 3  # an argument wins
    assert load({"app": None}, {"RAGWHEEL_APP": ""}).app == ""


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({"db": "~/x.db"}, {}).db == tmp_path / "x.db"


@pytest.mark.parametrize(
    ("given", "environ", "says"),
    [
        ({"capture_k": 0}, {}, r"configure\(capture_k=...\): got 0, allowed: .*greater than or equal to 1"),
        ({"capture_k": "many"}, {}, "got 'many', allowed: .*valid integer"),
        ({"sample_ratio": 1.5}, {}, "got 1.5, allowed: .*less than or equal to 1"),
        ({"sample_ratio": float("nan")}, {}, "got nan, allowed:"),
        ({"durability": "paper"}, {}, "got 'paper', allowed: .*'process' or 'power'"),
        ({"redact": "x"}, {}, "got 'x', allowed: .*callable"),
        ({"db": ":memory:"}, {}, "got .*, allowed: a path of a file .*traces in memory would be lost"),
        ({"db": "."}, {}, "allowed: a path of a file"),
        ({"db": "x" * 5000}, {}, "allowed: a path of a file"),
        ({"app": "x" * 201}, {}, "allowed: .*at most 200 characters"),
        ({"app": "\ud800"}, {}, "allowed:"),
        ({"max_text_chars": 1}, {}, "greater than or equal to 100"),
        ({}, {"RAGWHEEL_CAPTURE_K": "x"}, "^RAGWHEEL_CAPTURE_K: got 'x', allowed:"),
        (
            {},
            {"RAGWHEEL_EXPORT_CONTENT": "maybe"},
            "^RAGWHEEL_EXPORT_CONTENT: got 'maybe', allowed: .*boolean",
        ),
    ],
)
def test_a_wrong_setting(given, environ, says):
    with pytest.raises(ConfigurationError, match=says) as found:
        load(given, environ)
    assert len(str(found.value)) < 500
    assert "help(ragwheel.configure)" in str(found.value)


@pytest.mark.parametrize(
    "keys", ["secret", "k1:zz", ["k1:" + "ab" * 15], ["no colon"], "k 1:" + "ab" * 16, [7]]
)
def test_a_wrong_signing_key_is_not_shown(keys):
    with pytest.raises(
        ConfigurationError, match=r"signing_keys=\.\.\.\): got a secret, allowed: strings '<key id>"
    ) as found:
        load({"signing_keys": keys}, {})
    assert "secret'" not in str(found.value)
    assert "ab" * 15 not in str(found.value)


def test_keys_stay_out_of_the_repr():
    assert "abab" not in repr(load({"signing_keys": [KEY]}, {}))


def test_configured_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setattr("ragwheel.runtime._asked_environment", False)
    monkeypatch.setenv("RAGWHEEL_DB", str(tmp_path / "env.db"))
    ragwheel.retriever(lambda query: ["one"])("q")
    assert ragwheel.flush(30)
    assert ragwheel.stats().stored == 1
    assert (tmp_path / "env.db").exists()


def test_a_wrong_environment_costs_the_app_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("ragwheel.runtime._asked_environment", False)
    monkeypatch.setattr("ragwheel.guard.guard.strict", False)
    monkeypatch.setenv("RAGWHEEL_DB", str(tmp_path))
    assert ragwheel.retriever(lambda query: ["one"])("q") == ["one"]
    assert "could not finish configuring from the environment" in caplog.text
