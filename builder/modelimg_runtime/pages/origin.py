"""Where a model came from, for people: code, data, training, and the digests of what is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelimg_runtime.pages.frame import section, table
from modelimg_runtime.pages.html import Html, Node, element

_WEB: Final = ("https://", "http://")


def origin(info: Mapping[str, Any]) -> Html:
    """The section.

    Args:
        info: body of ``/info``.
    """
    provenance = info["provenance"] if isinstance(info["provenance"], dict) else {}
    facts = [
        *_code(provenance.get("code") or {}),
        *_training(provenance.get("training") or {}, info),
        ("Model", element("code", f"sha256:{info['model']['sha256']}")),
        *_links(info["metadata"]),
    ]
    listed = element("dl", [(element("dt", name), element("dd", value)) for name, value in facts], class_="facts")
    digests: list[list[Node]] = [[name, element("code", digest)] for name, digest in sorted(info["files"].items())]
    files = element(
        "details",
        element("summary", f"{len(digests)} packed files and their digests"),
        table("Digests of the packed files", ("File", "sha256"), digests),
    )
    return section("origin", "Where it came from", listed, _data(provenance.get("data") or {}), element("p"), files)


def _code(code: Mapping[str, Any]) -> list[tuple[str, Node]]:
    revision, source = code.get("revision"), code.get("source")
    dirty = " with changes that were not committed" if code.get("dirty") else ""
    return [
        *([("Code", [element("code", str(revision)), dirty])] if revision else []),
        *([("Source", _link(str(source)))] if source else []),
    ]


def _training(training: Mapping[str, Any], info: Mapping[str, Any]) -> list[tuple[str, Node]]:
    command = training.get("command")
    return [
        *([("Training", element("code", str(command)))] if command else []),
        ("Python", str(info["python"])),
        ("Estimator", element("code", str(info["model"]["estimator"]))),
    ]


def _links(metadata: Mapping[str, Any]) -> list[tuple[str, Node]]:
    return [(name.capitalize(), _link(str(metadata[name]))) for name in ("url", "documentation") if metadata.get(name)]


def _link(address: str) -> Node:
    """A link, where the address is one of the web's: a ``javascript:`` one would run."""
    return element("a", address, href=address, rel="noreferrer") if address.startswith(_WEB) else address


def _data(data: Mapping[str, Any]) -> Node:
    splits = {name: split for name, split in data.items() if isinstance(split, dict)}
    if not splits:
        return None
    rows: list[list[Node]] = [
        [
            name,
            str(split.get("rows", "")),
            str(split.get("columns", "")),
            [element("code", f"{split.get('kind', '')}:{split.get('sha256', '')}"), _where(split)],
        ]
        for name, split in splits.items()
    ]
    return [element("h3", "Data"), table("Data by split", ("Split", "Rows", "Columns", "Digest"), rows)]


def _where(split: Mapping[str, Any]) -> Node:
    return [element("br"), _link(str(split["uri"]))] if split.get("uri") else None
