"""Files that appear whole or not at all: written aside in the same folder, and renamed when they are on the disk."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from modelimg_runtime.errors import ScoreFault

_FREE_TO_ALL = 0o666
"""The mode of a new file, of which the umask takes its part."""


class Aside:
    """A file that is being written under another name: ``.NAME.partial-…``.

    It is locked as long as it is written. What a killed process left behind is not, and is removed by the next one that
    writes a file of that name; so two processes may write the same file, and the last one wins.

    Args:
        path: what it is to be called.

    Attributes:
        path: the same.
        stream: to write to.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _sweep(path)
        self._partial, self.stream = _create(path)

    def __enter__(self) -> Aside:  # noqa: PYI034 - Python 3.10 has no Self
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Leave nothing behind but what was published."""
        self._partial.unlink(missing_ok=True)
        # To close it is to write what is still buffered: nothing once it is settled, and else for nobody.
        with suppress(OSError):
            self.stream.close()

    def settle(self) -> None:
        """Wait until all that was written is on the disk.

        Raises:
            OSError: it cannot be.
        """
        self.stream.flush()
        os.fsync(self.stream.fileno())

    def publish(self, *, replace: bool) -> None:
        """Give the file its name.

        Args:
            replace: an older file of that name.

        Raises:
            ScoreFault: there is such a file by now.
            OSError: it cannot be renamed.
        """
        refuse_existing(self.path, replace=replace)
        self._partial.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Refuse to write over a file, unless asked to.

    Raises:
        ScoreFault: it exists, or is no file at all.
    """
    if path.exists() and not path.is_file():
        raise ScoreFault(f"{path} is no file", exit_code=2)
    if path.exists() and not replace:
        raise ScoreFault(f"{path} is there already; --force writes over it", exit_code=2)


def _create(path: Path) -> tuple[Path, BinaryIO]:
    while True:
        partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
        stream = os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, _FREE_TO_ALL), "wb")
        # Between the two calls, another process may have taken the file for one that was left behind.
        if _lock(stream.fileno()) is not False and partial.exists():
            return partial, stream
        stream.close()


def _sweep(path: Path) -> None:
    """Remove what killed processes left behind."""
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}.partial-"):
            try:
                descriptor = os.open(left, os.O_RDWR | os.O_CLOEXEC)
            except OSError:  # another's, or gone by now
                continue
            try:
                if _lock(descriptor):
                    left.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a file: False where another process has, None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
