"""Counters that survive a restart: a document in a directory, written every minute and at the end.

A directory may be shared by several replicas of one model, and outlive versions of it. So the name of a file has the
digest of the model with its profiles, and a number of which each replica takes the first that is free; it is taken by a
lock that ends with the processes that hold it, however they end.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Final

from modelimg_runtime.errors import SettingRefused
from modelimg_runtime.monitor.document import Document, Identity

log = logging.getLogger(__name__)

_MOST_REPLICAS: Final = 1000


class State:
    """One replica's file in a state directory; the lock is held for as long as this object and its forks live.

    Args:
        folder: the directory; it is made where it is not there.
        identity: whose counts they are.

    Raises:
        SettingRefused: the directory cannot be made or written to, or is taken by too many replicas.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        stem = hashlib.sha256(repr(identity).encode()).hexdigest()[:12]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number, self._lock = _claim(folder, stem)
        except OSError as error:
            raise SettingRefused(f"MODELIMG_STATE_DIR={folder} cannot be written to: {error.strerror}") from error
        self.path = folder / f"monitor-{stem}-{number}.json"
        self._identity, self._failing = identity, False

    def read(self) -> Document | None:
        """What was counted before; None where nothing was. What cannot be read is set aside, and not overwritten."""
        try:
            document = Document.from_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("the counters in %s cannot be read and are set aside: %s", self.path, error)
            self.set_aside()
            return None
        if document.identity == self._identity and len(document.replicas) == 1:
            return document
        log.warning("the counters in %s are of another model, or of several replicas, and are set aside", self.path)
        self.set_aside()
        return None

    def set_aside(self) -> None:
        """Give the file another name."""
        try:
            self.path.replace(self.path.with_suffix(".unreadable"))
        except OSError as error:
            log.warning("%s cannot be renamed: %s", self.path, error.strerror)

    def write(self, document: Document) -> bool:
        """Write the file as a whole or not at all. Serving goes on where that fails; the log says so once.

        Returns:
            Whether it was written.
        """
        try:
            _write(self.path, document.to_json().encode("ascii"))
        except OSError as error:
            if not self._failing:
                log.warning("the counters cannot be written to %s: %s", self.path, error.strerror)
            self._failing = True
            return False
        if self._failing:
            log.info("the counters are written to %s again", self.path)
        self._failing = False
        return True


def _claim(folder: Path, stem: str) -> tuple[int, int]:
    """The first number that is free, and the open file that holds its lock."""
    import fcntl

    for number in range(_MOST_REPLICAS):
        lock = os.open(folder / f"monitor-{stem}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return number, lock
    raise SettingRefused(f"MODELIMG_STATE_DIR={folder} is in use by {_MOST_REPLICAS} replicas")


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    file = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        file.chmod(0o644)
        file.replace(path)
    except BaseException:
        file.unlink()
        raise
