"""Trying again: what is worth it, how long to wait, and when to give up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from modelimg.errors import RegistryError

TRIES = 5
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0

Sleep = Callable[[float], object]
T = TypeVar("T")


class Transient(Exception):  # noqa: N818 - never leaves this package
    """A failure that may not come again: a connection that broke, or a server that asks for patience.

    Args:
        reason: what happened, as the end of a sentence.
        retry_after: seconds that the server asks for.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Stopped(Exception):  # noqa: N818 - never leaves this package
    """Something else of the same operation failed, so this need not go on."""


class Patience:
    """Waits between tries, 0.5 s and then twice as long each time, or as long as the server asks for.

    Args:
        what: what is being tried, as the beginning of a sentence: ``pushing … to …``.
        stop: set when the whole operation has failed; ends a wait at once.
        sleep: takes seconds; tests hand in their own.
        tries: how often to try in all.
    """

    def __init__(self, what: str, stop: threading.Event, sleep: Sleep | None = None, tries: int = TRIES) -> None:
        self._what = what
        self._stop = stop
        self._sleep = sleep or stop.wait
        self._tries = tries
        self._failures = 0

    def wait(self, failure: Transient) -> None:
        """Wait before the next try.

        Raises:
            RegistryError: that was the last one.
            Stopped: something else failed meanwhile.
        """
        self._failures += 1
        if self._failures >= self._tries:
            raise RegistryError(f"{self._what} failed in {self._tries} tries: {failure.reason}") from failure
        backoff = _FIRST_PAUSE * 2.0 ** (self._failures - 1)
        self._sleep(backoff if failure.retry_after is None else failure.retry_after)
        if self._stop.is_set():
            raise Stopped

    def until(self, attempt: Callable[[], T]) -> T:
        """Try something until it works, or fails for good.

        Raises:
            RegistryError, Stopped: as `wait`.
            Exception: whatever else ``attempt`` raises.
        """
        while True:
            try:
                return attempt()
            except Transient as failure:  # noqa: PERF203 - that is what it is for
                self.wait(failure)

    def renew(self) -> None:
        """It went on a good way, so failures are counted anew."""
        self._failures = 0


def parse_retry_after(value: str | None) -> float | None:
    """The seconds that a ``Retry-After`` header asks for, at most a minute; None where it makes no sense.

    Source: RFC 9110, section 10.2.3: seconds, or an HTTP date.
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return min(float(value), _LONGEST_PAUSE)
    from email.utils import parsedate_to_datetime

    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE)
