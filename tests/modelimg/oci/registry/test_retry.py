"""How long to wait, and when to give up."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from modelimg.errors import RegistryError
from modelimg.oci.registry.retry import Patience, Stopped, Transient, parse_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("3600", 60),
        ("9" * 400, 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("Wed, 99 Oct 2015", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_minute(value, seconds) -> None:
    assert parse_retry_after(value) == seconds


def test_a_date_in_the_near_future_is_waited_for() -> None:
    begin = datetime.now(UTC)
    seconds = parse_retry_after(format_datetime(begin + timedelta(seconds=30), usegmt=True))
    passed = (datetime.now(UTC) - begin).total_seconds()
    assert 29 - passed < seconds <= 30  # the date is of whole seconds


def test_pauses_double_and_end_in_an_error() -> None:
    pauses: list[float] = []
    patience = Patience("pushing x", threading.Event(), pauses.append)
    for _ in range(4):
        patience.wait(Transient("HTTP 500"))
    with pytest.raises(RegistryError, match="pushing x failed in 5 tries: HTTP 500"):
        patience.wait(Transient("HTTP 500"))
    assert pauses == [0.5, 1, 2, 4]


def test_the_server_decides_where_it_says_how_long() -> None:
    pauses: list[float] = []
    patience = Patience("x", threading.Event(), pauses.append)
    patience.wait(Transient("HTTP 429", retry_after=0))
    patience.wait(Transient("HTTP 429", retry_after=9))
    assert pauses == [0, 9]


def test_a_wait_ends_when_something_else_fails() -> None:
    waited = []

    class FailingElsewhere(threading.Event):
        """Something else fails as soon as this is waited for."""

        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            self.set()
            return super().wait(timeout)

    with pytest.raises(Stopped):
        Patience("x", FailingElsewhere()).wait(Transient("HTTP 429", retry_after=60))
    assert waited == [60]
