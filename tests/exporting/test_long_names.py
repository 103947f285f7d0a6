"""Names of sources and retrievers as apps have them, in the names of files."""

import pytest

import ragwheel
from ragwheel import exporting


@pytest.fixture
def recorded(tmp_path):
    def record(*names):
        ragwheel.configure(tmp_path / "app.db")
        for source, name in names:
            ragwheel.retriever(source=source, name=name)(lambda query: ["a"])("q")
        ragwheel.shutdown()
        return tmp_path / "app.db"

    return record


def test_runs_of_long_names_are_told_apart(recorded, tmp_path):
    db = recorded(("資料源" * 60, "検" * 190 + "1"), ("資料源" * 60, "検" * 190 + "2"), ("kb/1", "../up"))
    written = exporting.export_traces(db, "trec-run", tmp_path / "run")
    assert len(written) == 3
    assert "kb%2F1-..%2Fup.run" in written
    for name in written:
        assert len(name.encode()) < 255
        (line,) = (tmp_path / "run" / name).read_text("utf-8").splitlines()
        assert line.split()[-1] == name.removesuffix(".run")


def test_a_name_that_just_fits_stays_as_it_is(recorded, tmp_path):
    db = recorded(("s" * 99, "n" * 100), ("s" * 99, "n" * 101))
    names = sorted(exporting.export_traces(db, "trec-run", tmp_path / "run"))
    assert f"{'s' * 99}-{'n' * 100}.run" in names
    assert max(map(len, names)) == 204
