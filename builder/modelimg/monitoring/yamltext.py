"""YAML of plain data, deterministic: mappings in their order, every text quoted or in a block.

PyYAML is no dependency of modelimg's, and what is written here is little. Texts are quoted whatever is in them, so none
can become a number, a boolean, or the end of something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from modelimg.monitoring.promql import quoted

Yaml = str | int | float | Mapping[str, "Yaml"] | Sequence["Yaml"]


def dump(value: Yaml) -> str:
    """A document, ending in a line break; keys must be plain words."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Yaml) -> Iterator[str]:
    if isinstance(value, str):
        yield from _text(value)
    elif isinstance(value, Mapping):
        yield from _mapping(value) if value else ("{}",)
    elif isinstance(value, Sequence):
        yield from _sequence(value) if value else ("[]",)
    else:
        yield repr(value)


def _mapping(value: Mapping[str, Yaml]) -> Iterator[str]:
    for key, each in value.items():
        first, *rest = _lines(each)
        if isinstance(each, str) or not each or not isinstance(each, (Mapping, Sequence)):
            yield f"{key}: {first}"
            yield from rest
        else:
            yield f"{key}:"
            yield from (f"  {line}" for line in (first, *rest))


def _sequence(value: Sequence[Yaml]) -> Iterator[str]:
    for each in value:
        first, *rest = _lines(each)
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)


def _text(text: str) -> Iterator[str]:
    """Queries are kept readable: in single quotes, or in a block, where their characters can stand as they are."""
    lines = text.split("\n")
    plain = all(line and line.isprintable() for line in lines) and text[0] != " "
    if len(lines) > 1 and plain:
        yield "|-"
        yield from (f"  {line}" for line in lines)
    elif plain and '"' in text:
        yield "'" + text.replace("'", "''") + "'"
    else:
        yield quoted(text)
