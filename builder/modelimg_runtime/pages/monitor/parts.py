"""What the page's sections have in common: tables, verdicts, and the key to the charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from modelimg_runtime.drift.report import CALM, DISTRIBUTION, DRIFT, MISSING, OUT_OF_RANGE, UNSEEN
from modelimg_runtime.pages.html import Html, Node, element

REASONS: Final = {
    DISTRIBUTION: "distribution",
    MISSING: "missing values",
    UNSEEN: "new categories",
    OUT_OF_RANGE: "out of range",
}
"""What drifted of a column, in words."""
MARKS: Final = {DRIFT: "▲", CALM: "○"}
_UNKNOWN: Final = "·"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        content: of it.
        class_: of the element.
    """

    content: Node
    class_: str | None = None


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell | Node]],
    *,
    class_: str = "",
    seen: bool = False,
) -> Html:
    """A table in a frame that scrolls by itself, and can be scrolled by keyboard.

    Args:
        caption: what it shows.
        heads: of its columns; the first of each row is the row's heading.
        rows: cells.
        class_: of the frame.
        seen: whether the caption is for everybody, and not only for screen readers.
    """
    head = element("tr", [element("th", each, scope="col") for each in heads])
    body = [element("tr", _cell(first, "th"), [_cell(each, "td") for each in rest]) for first, *rest in rows]
    inner = element(
        "table",
        element("caption", caption, class_=None if seen else "unseen"),
        element("thead", head),
        element("tbody", body),
    )
    return element("div", inner, class_=f"scroll {class_}".strip(), tabindex=0, role="group", aria_label=caption)


def _cell(cell: Cell | Node, tag: str) -> Html:
    scope = "row" if tag == "th" else None
    if isinstance(cell, Cell):
        return element(tag, cell.content, scope=scope, class_=cell.class_)
    return element(tag, cell, scope=scope)


def verdict(status: str, reasons: Sequence[str] = ()) -> Html:
    """``drift``, ``calm`` or ``insufficient data``, with a mark of its own shape."""
    mark = element("span", MARKS.get(status, _UNKNOWN), aria_hidden="true", class_="mark")
    why = [", ".join(REASONS.get(each, each) for each in reasons)] if reasons else None
    words = element("span", why, class_="muted") if why else None
    return element("span", mark, f"\u00a0{status}", words and [": ", words], class_=f"said {_class(status)}")


def kind_of(status: str) -> str:
    """``full``, ``hollow`` or ``dot``: the shape that stands for a status."""
    return {DRIFT: "full", CALM: "hollow"}.get(status, "dot")


def key(reference: str) -> Html:
    """What the bars of the histograms are.

    Args:
        reference: what the live rows are compared with, in words.
    """
    return element(
        "p",
        element("span", _swatch("was", 2, 16), f" wide and outlined: {reference}", class_="of"),
        element("span", _swatch("now", 6, 8), " narrow and solid: live", class_="of"),
        class_="key",
    )


def _swatch(class_: str, x: int, width: int) -> Html:
    bar = element("rect", x=x, y=2, width=width, height=14, class_=class_)
    return element("svg", bar, viewBox="0 0 20 18", aria_hidden="true", class_="swatch")


def _class(status: str) -> str:
    return {DRIFT: "bad", CALM: "good"}.get(status, "muted")
