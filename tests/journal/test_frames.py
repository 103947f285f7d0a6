import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragwheel.journal import frames
from ragwheel.journal.frames import HEADER_BYTES, encode, read, scan

RECORDS = [
    (1, b"open"),
    (2, b""),
    (3, b"\xa7R\x01\x01 looks like a frame"),
    (4, os.urandom(300)),
    (2, b"last"),
]


def written(records=RECORDS):
    return b"".join(encode(kind, payload) for kind, payload in records)


def found(data, *, resync):
    return [(frame.kind, bytes(frame.payload)) for frame in scan(data, resync=resync)]


@pytest.mark.parametrize("resync", [False, True])
def test_what_was_encoded_is_scanned(resync):
    assert found(written(), resync=resync) == RECORDS


@pytest.mark.parametrize("resync", [False, True])
def test_cut_at_every_byte_only_whole_frames_are_found(resync):
    data = written()
    ends = [len(written(RECORDS[:n])) for n in range(len(RECORDS) + 1)]
    for cut in range(len(data) + 1):
        whole = sum(end <= cut for end in ends) - 1
        assert found(data[:cut], resync=resync) == RECORDS[:whole], cut


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_anywhere_costs_one_frame_and_is_counted(bit):
    data = written()
    starts = [len(written(RECORDS[:n])) for n in range(len(RECORDS))]
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << bit
        hit = max(n for n, start in enumerate(starts) if start <= at)
        scanned = list(scan(bytes(damaged), resync=True))
        assert [(f.kind, bytes(f.payload)) for f in scanned] == RECORDS[:hit] + RECORDS[hit + 1 :], at
        if hit < len(RECORDS) - 1:
            assert sum(f.skipped for f in scanned) == HEADER_BYTES + len(RECORDS[hit][1])


def test_a_live_segment_is_read_up_to_the_first_frame_that_is_not_whole():
    data = bytearray(written())
    data[len(written(RECORDS[:2])) + 5] ^= 0xFF
    assert found(bytes(data), resync=False) == RECORDS[:2]


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=20),
    st.integers(1, 64),
    st.booleans(),
)
def test_reading_a_file_in_windows_is_scanning_it_whole(tmp_path_factory, records, window, resync):
    path = tmp_path_factory.mktemp("frames") / "file"
    path.write_bytes(written(records) + b"\xa7R torn")
    before, frames.WINDOW_BYTES = frames.WINDOW_BYTES, window
    fd = os.open(path, os.O_RDONLY)
    try:
        all_of_it = list(read(fd, 0, path.stat().st_size, resync=resync))
        half = all_of_it[len(all_of_it) // 2 - 1].end if len(all_of_it) > 1 else 0
        rest = list(read(fd, half, path.stat().st_size, resync=resync))
    finally:
        frames.WINDOW_BYTES = before
        os.close(fd)
    assert [(f.kind, bytes(f.payload)) for f in all_of_it] == records
    assert [f.end for f in rest] == [f.end for f in all_of_it if f.end > half]


def test_a_file_that_got_shorter_ends_the_reading(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(written())
    with path.open("rb") as file:
        assert len(list(read(file.fileno(), 0, 10**6, resync=False))) == len(RECORDS)


def test_a_frame_of_another_format_is_not_read(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(frames, "FORMAT", frames.FORMAT + 1)
        foreign = frames.encode(1, b"of a later ragwheel")
    ours = frames.encode(1, b"ours")
    assert list(frames.scan(foreign + ours, resync=False)) == []
    (found,) = frames.scan(foreign + ours, resync=True)
    assert (bytes(found.payload), found.skipped) == (b"ours", len(foreign))
