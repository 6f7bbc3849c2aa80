"""Unpacking wheels into one environment: shared objects lose what no loader reads, and each ``RECORD`` says so."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

from modelimg.elf import needed_parts
from modelimg.pruning import Pruning, is_shared_object
from modelimg.tar import Entry, Spool
from modelimg.wheels import Changed, Environment, Member, Wheel, record_of

_MAX_STRIPPED = 64 << 20
"""Bytes of a shared object that is looked into; a larger one is copied as it is, so that memory stays bounded."""
_AT_ONCE, _THREADS = 64 << 20, 2


def unpack(
    wheels: Iterable[Wheel], place: Environment, pruning: Pruning | None, spool: Spool
) -> Iterator[tuple[Wheel, Entry]]:
    """The files that wheels put into one environment, each with the wheel that it is of.

    Args:
        wheels: taken one by one, while shared objects of those before are worked on.
        place: where their files go.
        pruning: what to leave out; None keeps everything.
        spool: keeps the bytes of files that change until the entries are written.

    Raises:
        LayerError: a member is damaged.
    """
    with _Stripper(spool) as stripper:
        kept = []
        for wheel in wheels:
            members = wheel.members(place, pruning)
            objects = [member for member in members if pruning and pruning.symbols and _may_shrink(member.info)]
            kept.append((wheel, members, [(member, stripper.start(wheel, member)) for member in objects]))
        for wheel, members, stripping in kept:
            changed = {member: done for member, future in stripping if (done := future.result())}
            yield from ((wheel, entry) for entry in wheel.entries(members, place, changed))


def _may_shrink(info: zipfile.ZipInfo) -> bool:
    return info.file_size <= _MAX_STRIPPED and is_shared_object(info.filename)


class _Stripper:
    """Makes shared objects smaller on two threads, as many at once as memory may be taken up. A context manager.

    Args:
        spool: takes those that got smaller.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool, self._pool = spool, ThreadPoolExecutor(_THREADS, thread_name_prefix="strip")
        self._free, self._changing = _AT_ONCE, threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, wheel: Wheel, member: Member) -> Future[Changed | None]:
        """Begin with a member; what becomes of it, or None where it stays as it is."""
        return self._pool.submit(self._strip, wheel, member)

    def _strip(self, wheel: Wheel, member: Member) -> Changed | None:
        with self._holding(member.info.file_size):
            data = wheel.read(member)
            parts = needed_parts(data)
            if parts[0] is data:
                return None
            record = record_of(parts)
            with self._changing:
                return Changed(self._spool.add_parts(parts), record)

    @contextmanager
    def _holding(self, size: int) -> Iterator[None]:
        """Wait until there is room for so many bytes, and take it up."""
        with self._changing:
            self._changing.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changing:
                self._free += size
                self._changing.notify_all()
