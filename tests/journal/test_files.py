import fcntl
import os
import time

import pytest

from ragwheel.journal import files


@pytest.fixture
def db(tmp_path):
    return tmp_path / "app.db"


def in_child(work):
    """Run ``work`` in a forked child; its return value must be true."""
    pid = os.fork()
    if pid == 0:
        try:
            ok = work()
        except BaseException:
            ok = False
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_segment_of_ours_is_nobodys_orphan_until_it_is_let_go(db):
    path, fd = files.create_segment(db)
    assert files.segments(db) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    assert files.segment_folder(db).stat().st_mode & 0o777 == 0o700
    assert files.try_adopt(path) is None
    files.release_segment(fd)
    adopted = files.try_adopt(path)
    assert adopted is not None
    assert files.try_adopt(path) is None
    files.release_segment(adopted)


def test_segments_are_listed_oldest_first_and_none_is_no_error(db):
    assert files.segments(db) == []
    made = [files.create_segment(db) for _ in range(3)]
    assert files.segments(db) == [path for path, _ in made]
    for _, fd in made:
        files.release_segment(fd)


def test_a_forked_child_keeps_no_lock_alive(db):
    path, fd = files.create_segment(db)
    ready, go = os.pipe(), os.pipe()
    with files.merge_lock(db, timeout_s=0) as ours:
        assert ours
        pid = os.fork()
        if pid == 0:
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            os._exit(0)
    os.read(ready[0], 1)
    files.release_segment(fd)
    try:
        adopted = files.try_adopt(path)
        assert adopted is not None  # although the child lives
        files.release_segment(adopted)
        with files.merge_lock(db, timeout_s=0) as ours:
            assert ours
    finally:
        os.write(go[1], b"x")
        os.waitpid(pid, 0)
        for end in (*ready, *go):
            os.close(end)


def test_a_forked_child_does_not_take_the_parents_lock_away(db):
    path, fd = files.create_segment(db)
    in_child(lambda: True)
    assert files.try_adopt(path) is None
    in_child(lambda: files.try_adopt(path) is None)
    files.release_segment(fd)


def test_a_child_leaves_a_descriptor_alone_whose_number_was_reused(db, tmp_path):
    _, fd = files.create_segment(db)
    os.close(fd)  # behind the module's back
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
    assert other == fd
    in_child(lambda: os.write(other, b"x") == 1)
    os.close(other)


def test_one_merger_at_a_time(db):
    with files.merge_lock(db, timeout_s=0) as first, files.merge_lock(db, timeout_s=0.01) as second:
        assert first
        assert not second
    with files.merge_lock(db, timeout_s=0) as again:
        assert again


def test_the_merge_lock_is_that_of_the_file_that_stands_there(db):
    """Deleting the folder must not leave two mergers, each holding the lock of another file."""
    folder = files.segment_folder(db)
    folder.mkdir()
    gone = os.open(folder / "merge.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(gone, fcntl.LOCK_EX)
    (folder / "merge.lock").unlink()
    with files.merge_lock(db, timeout_s=0) as ours:
        assert ours
    os.close(gone)


def test_sweeping_removes_what_the_dead_left_and_nothing_else(db):
    path, fd = files.create_segment(db)
    folder = files.segment_folder(db)
    fresh, stale, second = folder / "1.new", folder / "2.new", folder / "3.old"
    for made in (fresh, stale, second):
        made.write_bytes(b"")
    os.utime(stale, (0, 0))
    files.remove_stale(db)
    assert sorted(p.name for p in folder.iterdir()) == sorted([fresh.name, path.name])
    files.release_segment(fd)


def test_a_folder_that_everybody_can_write_is_not_used_and_says_how_to_close_it(db):
    folder = files.segment_folder(db)
    folder.mkdir(mode=0o700)
    folder.chmod(0o757)
    with pytest.raises(files.UnsafeFolder, match=f"chmod 700 {folder}"):
        files.create_segment(db)
    assert list(folder.iterdir()) == []
    folder.chmod(0o770)
    assert not files.is_unsafe(files.ready_folder(db))


def test_finished_damaged_segments_are_listed_apart(db):
    path, fd = files.create_segment(db)
    files.release_segment(fd)
    damaged = path.with_suffix(".damaged")
    damaged.write_bytes(b"")
    assert (files.segments(db), files.set_aside(db)) == ([path], [damaged])


def test_a_folder_that_vanished_between_two_segments_is_made_again(db, monkeypatch):
    folder, ready = files.segment_folder(db), files.ready_folder
    lost = iter([True])

    def swept(db):
        made = ready(db)
        if next(lost, False):
            made.rmdir()
        return made

    monkeypatch.setattr(files, "ready_folder", swept)
    path, fd = files.create_segment(db)
    assert path.parent == folder
    files.release_segment(fd)


def test_a_writer_that_is_to_go_on_elsewhere_sees_a_second_name_until_its_segment_is_erased(db):
    path, fd = files.create_segment(db)
    os.write(fd, b"what is to go")
    assert os.fstat(fd).st_nlink == 1
    files.retire_segment(path)
    assert os.fstat(fd).st_nlink == 2
    path.unlink()
    files.erase_retired(path, fd)
    assert (os.fstat(fd).st_nlink, os.fstat(fd).st_size) == (0, 0)
    files.release_segment(fd)


def test_an_unfinished_copy_is_swept_when_its_process_is_gone_and_not_before(db, tmp_path):
    copy = tmp_path / "elsewhere.partial"
    copy.write_bytes(b"half a copy")
    beside = copy.with_name(f"{copy.name}-journal")
    beside.write_bytes(b"")
    link = files.register_partial(db, copy)
    fd = files.hold(copy)
    files.remove_stale(db)
    left = [path.name for path in (copy, beside, link) if os.path.lexists(path)]
    assert left == [copy.name, beside.name, link.name]
    files.release_segment(fd)
    files.remove_stale(db)
    assert not any(map(os.path.lexists, (copy, beside, link)))


def test_a_copy_that_is_gone_leaves_no_link(db, tmp_path):
    link = files.register_partial(db, tmp_path / "gone")
    files.remove_stale(db)
    assert not link.is_symlink()


def test_what_is_stale_is_a_day_old_by_either_clock(db):
    folder = files.ready_folder(db)
    for name, age_s in {"young": files.STALE_S - 600, "old": files.STALE_S + 600}.items():
        for clock, at in (("behind", time.time() - age_s), ("ahead", time.time() + age_s)):
            (folder / f"{name} {clock}.new").write_bytes(b"")
            os.utime(folder / f"{name} {clock}.new", (at, at))
    files.remove_stale(db)
    assert sorted(path.stem for path in folder.iterdir()) == ["young ahead", "young behind"]


def test_a_lock_that_another_holds_is_waited_for_so_long(db):
    with files.merge_lock(db, timeout_s=0) as ours:
        assert ours

        def waits():
            started = time.monotonic()
            with files.merge_lock(db, timeout_s=0.2) as theirs:
                return not theirs and time.monotonic() - started >= 0.2

        in_child(waits)
        with files.export_lock(db, timeout_s=0) as another:
            assert another
    in_child(lambda: files.merge_lock(db, timeout_s=0).__enter__())
