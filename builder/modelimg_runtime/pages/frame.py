"""What all pages share: head, navigation, and headers that let nothing in which is not ours."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.style import STYLE

LINKS: Final = (
    ("/", "Model"),
    ("/monitor", "Monitor"),
    ("/docs", "API"),
    ("/openapi.json", "OpenAPI"),
    ("/info", "Info"),
    ("/schema", "Schema"),
    ("/metrics", "Metrics"),
)
"""Where to go from a page, in order."""

_ICON: Final = (
    "data:image/svg+xml,"
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='7' fill='%230b5d57'/%3E"
    "%3Cpath d='M8 23V9l8 8 8-8v14' fill='none' stroke='%23fff' stroke-width='3.2' stroke-linejoin='round'"
    " stroke-linecap='round'/%3E%3C/svg%3E"
)


def page(
    title: str,
    here: str,
    main: Node,
    *,
    script: str = "",
    style: str = "",
    status: int = 200,
    refresh: int | None = None,
) -> Response:
    """A whole page.

    Args:
        title: of the page.
        here: which of the links it is.
        main: its content.
        script: JavaScript without which the page can be read and used.
        style: rules of this page alone.
        status: of the answer.
        refresh: seconds after which the browser asks again.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="refresh", content=refresh) if refresh else None,
        element("title", title),
        element("link", rel="icon", href=_ICON),
        element("style", Html(STYLE + style)),
    )
    body = element(
        "body",
        element("a", "Skip to the content", class_="skip", href="#main"),
        element("header", _navigation(here), class_="top"),
        element("main", main, id="main"),
        element("script", Html(script)) if script else None,
    )
    document = f"<!doctype html>{element('html', head, body, lang='en')}"
    return Response(document.encode("utf-8", "replace"), status, headers(script, style), media_type="text/html")


def headers(script: str, style: str = "") -> dict[str, str]:
    """Headers under which nothing runs and nothing loads but the page's own style and script."""
    scripts = _digest(script) if script else "'none'"
    policy = (
        f"default-src 'none'; style-src {_digest(STYLE + style)}; script-src {scripts}; connect-src 'self'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }


def loading() -> Response:
    """Said until the model is ready; the page asks again by itself."""
    words = element("p", "The model is being loaded and checked. This page asks again every two seconds.")
    return page("Loading", "", [element("h1", "Almost there"), words], status=503, refresh=2)


def section(identifier: str, heading: str, *content: Node, class_: str | None = None) -> Html:
    """A part of a page under a heading of its own."""
    title = element("h2", heading, id=f"{identifier}-heading")
    return element("section", title, *content, id=identifier, aria_labelledby=f"{identifier}-heading", class_=class_)


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Node]], *, class_: str | None = None) -> Html:
    """A table with a heading for each column and each row, which scrolls by itself where it is too wide or too long.

    Args:
        caption: what it shows, for screen readers.
        heads: of its columns.
        rows: cells, or elements ``td``; the first of each is the row's heading.
        class_: of the frame in which it scrolls.
    """
    head = element("tr", [element("th", each, scope="col") for each in heads])
    body = [
        element("tr", element("th", first, scope="row"), [element("td", cell) for cell in cells])
        for first, *cells in rows
    ]
    inner = element(
        "table", element("caption", caption, class_="unseen"), element("thead", head), element("tbody", body)
    )
    return element("div", inner, class_=f"scroll {class_ or ''}".strip(), tabindex=0, role="group", aria_label=caption)


def copyable(content: str, label: str) -> Html:
    """Text to be copied, with a button that a script brings to life."""
    button = element("button", "Copy", type="button", class_="copy", hidden=True, aria_label=f"Copy {label}")
    pre = element("pre", element("code", content), tabindex=0, aria_label=label, role="group")
    return element("div", button, pre, class_="copyable")


def command_line(base: str, path: str, media_type: str | None = None, body: str | None = None) -> str:
    """A request as one would make it with curl in a POSIX shell."""
    parts = ["curl", shlex.quote(base + path)]
    if media_type:
        parts += ["-H", shlex.quote(f"Content-Type: {media_type}")]
    if body is not None:
        parts += ["--data-binary", shlex.quote(body)]
    return " ".join(parts)


def _navigation(here: str) -> Html:
    links = [
        element("li", element("a", name, href=path, aria_current="page" if path == here else None))
        for path, name in LINKS
    ]
    return element("nav", element("ul", links), aria_label="Pages")


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
