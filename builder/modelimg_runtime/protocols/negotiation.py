"""``Accept``: which media type an answer has."""

from __future__ import annotations

from collections.abc import Sequence

from modelimg_runtime.protocols.bodies import JSON


def answer_kind(header: str | None, served: Sequence[str]) -> str:
    """The media type that a caller likes best.

    Args:
        header: the value of ``Accept``; None where there is none.
        served: media types beside JSON, which whoever names none of them gets, as callers of a JSON service expect.
    """
    if header in (None, "*/*", JSON):
        return JSON
    wishes = dict(map(_wish, (header or "").split(",")))
    best = max(served, key=lambda kind: wishes.get(kind, 0.0))
    return best if wishes.get(best, 0.0) > wishes.get(JSON, 0.0) else JSON


def _wish(text: str) -> tuple[str, float]:
    """A media range and its weight, 1 where it has none that can be read."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q" and value.replace(".", "", 1).isdecimal():
            return kind, float(value)
    return kind, 1.0
