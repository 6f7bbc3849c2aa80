"""HTML without a template engine: elements from plain values, everything escaped unless it is an element itself."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Node = str | int | float | None | Iterable["Node"]
"""An element, a text that is to be escaped, a number, nothing, or several of these."""

_VOID: Final = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


def element(name: str, /, *children: Node, **attributes: str | float | bool | None) -> Html:
    """One element.

    Args:
        name: of the element.
        children: its content.
        attributes: ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``. None and False leave one out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{text(children)}</{name}>")


def text(node: Node) -> Html:
    """A node as HTML."""
    if node is None:
        return Html("")
    if isinstance(node, Html):
        return node
    if isinstance(node, (str, int, float)):
        return Html(html.escape(str(node), quote=False))
    return Html("".join(map(text, node)))


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
