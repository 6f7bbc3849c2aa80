"""How much may wait: requests for a thread, and bytes in memory. What is beyond it is refused before memory runs out.

Everything here happens on the event loop, which is why nothing is locked. What a body may cost was measured: 10 MB of
JSON numbers are 85 to 150 MB as Python values and a frame.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from modelimg_runtime import container
from modelimg_runtime.environment import Settings

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)
T = TypeVar("T")

EXPANSION = 16
"""A body that has been read costs about so many times its length."""
_LARGE = 1 << 20
"""Bytes from which on a body is large: of those, only as many are worked on at once as memory has room for."""
RETRY_AFTER_SECONDS = 1


def warn_of_memory(settings: Settings) -> None:
    """Say so in the log where a single body could take more than half of a worker's memory."""
    largest, allowed = settings.max_body_bytes * EXPANSION, container.memory() // settings.workers
    if largest > allowed // 2:
        log.warning(
            "a body of %d bytes may take %d MB, and each worker has %d MB: lower MODELIMG_MAX_BODY_BYTES",
            settings.max_body_bytes,
            largest // 1_000_000,
            allowed // 1_000_000,
        )


class Busy(Exception):  # noqa: N818 - it says what is the case
    """Too much is waiting here already; the caller should come again."""


class Load:
    """What waits in this process, and how much of it there may be.

    Args:
        threads: how many requests are worked on at once; more would only wait for each other.
        large: how many of these may have a large body.
        most_waiting: how many more may wait for a thread.
        most_bytes: how much all requests may hold; a single one is always allowed.
    """

    def __init__(self, threads: int, large: int, most_waiting: int, most_bytes: int) -> None:
        self.limiter = anyio.CapacityLimiter(threads)
        self._large = anyio.CapacityLimiter(large)
        self._most_admitted = threads + most_waiting
        self.most_bytes = most_bytes
        self.admitted = 0
        self.held = 0

    @classmethod
    def of(cls, settings: Settings) -> Load:
        """As the settings say, or else as the container's CPUs and memory allow for each of its workers."""
        threads = max(container.cpus() // settings.workers, 1)
        budget = container.memory() // settings.workers // 2
        large = max(budget // (settings.max_body_bytes * EXPANSION), 1)
        held = settings.max_held_bytes or max(budget // 4, settings.max_body_bytes)
        return cls(threads, min(large, threads), settings.max_waiting, held)

    def lease(self) -> Lease:
        """For one request; what it holds is given back when it is left."""
        return Lease(self)

    def check(self, count: int) -> None:
        """Refuse so many bytes before they are read.

        Raises:
            Busy: there is no room for them.
        """
        if self.held and self.held + count > self.most_bytes:
            raise Busy

    async def run(self, work: Callable[[], T], size: int) -> T:
        """Run something in a thread, after what came before it.

        Args:
            work: what to run.
            size: bytes of its body.

        Raises:
            Busy: too many are waiting.
        """
        if self.admitted >= self._most_admitted:
            raise Busy
        self.admitted += 1
        try:
            if size < _LARGE:
                return await anyio.to_thread.run_sync(work, limiter=self.limiter)
            async with self._large:
                return await anyio.to_thread.run_sync(work, limiter=self.limiter)
        finally:
            self.admitted -= 1


class Lease:
    """Bytes that one request holds.

    Args:
        load: of the process.
    """

    def __init__(self, load: Load) -> None:
        self._load, self._count = load, 0

    def hold(self, count: int) -> None:
        """Hold so many more bytes.

        Raises:
            Busy: there is no room for them, and somebody else holds some.
        """
        load = self._load
        if load.held + count > load.most_bytes and load.held > self._count:
            raise Busy
        load.held += count
        self._count += count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._load.held -= self._count
