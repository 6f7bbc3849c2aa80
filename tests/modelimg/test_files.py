"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelimg.files import replace_text


def test_a_file_is_written_with_its_folders_and_readable_by_all(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        replace_text(tmp_path / "a/b.json", "é\n")
    finally:
        os.umask(before)
    assert (tmp_path / "a/b.json").read_bytes() == "é\n".encode()
    assert (tmp_path / "a/b.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("text", ["new", "\ud800"])
def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    if text == "new":
        replace_text(path, text)
    else:
        with pytest.raises(UnicodeEncodeError):
            replace_text(path, text)
    assert path.read_text() == ("new" if text == "new" else "old")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_the_way_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        replace_text(tmp_path / "file", "text")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
