"""The reader's choice of a span of time: links, and a form for any other."""

from __future__ import annotations

import re
from typing import Final

from modelimg_runtime.monitor.monitor import Limits
from modelimg_runtime.monitor.span import TOTAL
from modelimg_runtime.pages.html import Html, element
from modelimg_runtime.pages.monitor.question import PATH, Question
from modelimg_runtime.pages.monitor.words import counted, length

_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)
_CHOICES: Final = ((TOTAL, "Since the start"), ("1h", "Last hour"), ("24h", "24 hours"), ("7d", "7 days"))


def chooser(question: Question, limits: Limits) -> Html:
    """The links and the form.

    Args:
        question: that was asked.
        limits: how far back windows are kept.
    """
    links = [
        element(
            "li",
            element(
                "a",
                words,
                href=question.href(window),
                aria_current="true" if window == question.window and not question.wrong else None,
            ),
        )
        for window, words in _CHOICES
    ]
    kept = (
        f"Kept are {counted(limits.windows, 'window')} of {length(limits.window_seconds)}; a span takes in every "
        "window that it reaches into. What is older counts since the start only."
    )
    custom = element(
        "details",
        element("summary", "From one time to another"),
        _form(question),
        open=bool(any(question.typed)) or bool(question.wrong),
    )
    fault = element("p", f"No such window: {question.wrong}.", class_="wrong", role="alert") if question.wrong else None
    return element(
        "nav",
        fault,
        element("ul", links, class_="choices"),
        custom,
        element("p", kept, class_="hint"),
        aria_label="Window",
        class_="window",
    )


def _form(question: Question) -> Html:
    start, end = question.typed
    fields = [
        element(
            "div",
            element("label", words, for_=f"window-{name}"),
            element("input", type="datetime-local", id=f"window-{name}", name=name, value=_local(value), required=True),
            class_="field",
        )
        for name, words, value in (("from", "From (UTC)", start), ("to", "To (UTC)", end))
    ]
    button = element("button", "Show", type="submit")
    return element("form", fields, button, method="get", action=PATH, class_="span")


def _local(typed: str) -> str:
    """What such a field can hold; of anything else, browsers complain."""
    return typed if _LOCAL.fullmatch(typed) else ""
