"""How far a scoring run is, on standard error: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 5.0
_WIDTH = 24


class Progress:
    """Counts rows and says so now and then.

    Args:
        mode: ``on``, ``off``, or ``auto``: a bar where the stream is a terminal, else lines.
        stream: to write to; standard error.
        clock: seconds.
        lines: whether lines may be written, which are not where others are read from the stream.
    """

    def __init__(
        self,
        mode: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        lines: bool = True,
    ) -> None:
        self._stream, self._clock = stream or sys.stderr, clock
        self._bar = mode == "on" or self._stream.isatty()
        self._off = mode == "off" or not (self._bar or lines)
        self._start = self._said = clock()
        self.rows = 0
        self._fraction: float | None = None
        self._drawn = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._start

    def advance(self, rows: int, fraction: float | None) -> None:
        """Count rows.

        Args:
            rows: that were done since the last time.
            fraction: of the input that was read, 0 to 1; None where its size is not known.
        """
        self.rows += rows
        self._fraction = fraction
        now = self._clock()
        if not self._off and now - self._said >= (_REDRAW_SECONDS if self._bar else _LINE_SECONDS):
            self._said = now
            self._say()

    def finish(self) -> None:
        """Leave the terminal's line."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()
            self._drawn = 0

    def _say(self) -> None:
        text = self._text()
        if self._bar:
            self._stream.write(f"\r{text.ljust(self._drawn)}")
            self._drawn = len(text)
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def _text(self) -> str:
        seconds = max(self.seconds, 1e-9)
        parts = [f"{self.rows:,} rows", f"{self.rows / seconds:,.0f} rows/s"]
        if self._fraction:
            left = seconds * (1 - self._fraction) / self._fraction
            parts += [f"{self._fraction:.0%}", f"{_span(left)} left"]
        bar = f"[{_blocks(self._fraction)}] " if self._bar and self._fraction is not None else ""
        return f"{bar}{' · '.join(parts)}"


def _blocks(fraction: float) -> str:
    done = round(min(fraction, 1.0) * _WIDTH)
    return "#" * done + "-" * (_WIDTH - done)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
