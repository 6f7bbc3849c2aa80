"""What the reader asks of the page: a span of time, and columns that they want to see closely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from modelimg_runtime.monitor.counts import iso
from modelimg_runtime.monitor.span import TOTAL, Span, span_of
from modelimg_runtime.pages.html import Node
from modelimg_runtime.pages.monitor.words import moment

PATH: Final = "/monitor"
_ZONE: Final = re.compile(r"(Z|[+-]\d\d:\d\d)$", re.ASCII)


@dataclass(frozen=True)
class Question:
    """See the module.

    Attributes:
        window: as it was asked for.
        span: that it is; None since the counters began.
        wrong: why it is none; None where it is one.
        feature: name of an input column; None for the worst ones.
        answer: name of an output column.
        typed: what stands in the form's fields, from and to.
    """

    window: str = TOTAL
    span: Span | None = None
    wrong: str | None = None
    feature: str | None = None
    answer: str | None = None
    typed: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Question:
        """Of a query's parameters; the form sends ``from`` and ``to``, in UTC, where all else sends ``window``."""
        typed = (query.get("from", ""), query.get("to", ""))
        window = "/".join(map(_in_utc, typed)) if any(typed) else query.get("window", TOTAL)
        feature, answer = query.get("feature"), query.get("answer")
        try:
            span = span_of(window)
        except ValueError as error:
            return cls(window, None, str(error), feature, answer, typed)
        if span is not None and span.last is None:
            typed = ((iso(span.start) or "")[:16], (iso(span.end) or "")[:16])
        return cls(window, span, None, feature, answer, typed)

    def href(self, window: str | None = None, **columns: str) -> str:
        """Address of the page with another window, or with ``feature`` or ``answer`` named."""
        parameters = {"window": self.window if window is None else window, **columns}
        if parameters["window"] == TOTAL:
            del parameters["window"]
        query = urlencode(parameters, errors="replace")
        return f"{PATH}?{query}" if query else PATH

    @property
    def words(self) -> Node:
        """The span in words that follow ``rows``."""
        if self.span is None:
            return "since the counters began"
        if self.span.last is None:
            return ["from ", moment(self.span.start), " to ", moment(self.span.end)]
        return f"in the windows of the last {self.window}"


def _in_utc(text: str) -> str:
    return text if not text or _ZONE.search(text) else f"{text}Z"
