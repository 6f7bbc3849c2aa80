"""Files appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import stat

import pytest

from modelimg_runtime.errors import ScoreFault
from modelimg_runtime.score.aside import Aside, refuse_existing


def names(folder):
    return {each.name for each in folder.iterdir()}


def written(path, data, *, replace=False):
    with Aside(path) as aside:
        aside.stream.write(data)
        aside.settle()
        aside.publish(replace=replace)


def test_nothing_has_the_final_name_before_all_is_written(tmp_path):
    target = tmp_path / "out.csv"
    with Aside(target) as aside:
        aside.stream.write(b"half")
        aside.settle()
        assert not target.exists()
        (partial,) = names(tmp_path)
        assert partial.startswith(".out.csv.partial-")
        aside.stream.write(b" whole")
        aside.settle()
        aside.publish(replace=False)
    assert target.read_bytes() == b"half whole"
    assert names(tmp_path) == {"out.csv"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError, ValueError])
def test_whatever_ends_it_leaves_nothing(tmp_path, error):
    with pytest.raises(error), Aside(tmp_path / "out.csv") as aside:
        aside.stream.write(b"half")
        raise error
    assert names(tmp_path) == set()


def test_an_older_file_stays_unless_it_may_be_replaced(tmp_path):
    target = tmp_path / "out.csv"
    target.write_bytes(b"old")
    with pytest.raises(ScoreFault, match="is there already; --force") as caught:
        written(target, b"new")
    assert (caught.value.exit_code, target.read_bytes()) == (2, b"old")
    written(target, b"new", replace=True)
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == {"out.csv"}


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path)], ids=["folder", "pipe"])
def test_what_is_no_file_is_never_replaced(tmp_path, make):
    make(tmp_path / "out.csv")
    with pytest.raises(ScoreFault, match="is no file"):
        refuse_existing(tmp_path / "out.csv", replace=True)


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    target = tmp_path / "out.csv"
    left = [tmp_path / ".out.csv.partial-00000000", tmp_path / ".out.csv.partial-11111111"]
    others = [tmp_path / ".other.csv.partial-00000000", tmp_path / "out.csv.partial-00000000"]
    for path in (*left, *others):
        path.write_bytes(b"half")
    with left[1].open("rb+") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        written(target, b"new")
    assert names(tmp_path) == {"out.csv", left[1].name, *(path.name for path in others)}


def test_two_that_write_the_same_file_do_not_disturb_each_other(tmp_path):
    target = tmp_path / "out.csv"
    with Aside(target) as first, Aside(target) as second:
        for aside, data in ((first, b"first"), (second, b"second")):
            aside.stream.write(data)
            aside.settle()
        first.publish(replace=True)
        second.publish(replace=True)
    assert target.read_bytes() == b"second"
    assert names(tmp_path) == {"out.csv"}


def test_the_mode_is_that_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        written(tmp_path / "out.csv", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o640


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Aside(tmp_path / "nowhere" / "out.csv")
