"""``/docs``: the OpenAPI document as a page, with command lines to copy and requests to send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from modelimg_runtime.openapi import Description
from modelimg_runtime.pages.frame import command_line, copyable, page, section, table
from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.scripts import DOCS
from modelimg_runtime.pages.words import kind, limits

_MANY: Final = 40
"""Properties from which on a table scrolls."""


@dataclass(frozen=True)
class Operation:
    """One method of one route.

    Attributes:
        method: in capitals.
        path: as the description has it.
        what: OpenAPI's operation object.
    """

    method: str
    path: str
    what: Mapping[str, Any]

    @property
    def anchor(self) -> str:
        """Where it is on the page."""
        return f"op-{self.what['operationId']}"

    @property
    def parameters(self) -> list[Mapping[str, Any]]:
        """Its own; the request id's, which every operation takes, is said once for all."""
        return [each for each in self.what.get("parameters", []) if "$ref" not in each]

    @property
    def real_path(self) -> str:
        """The path with the model's own name and version."""
        path = self.path
        for each in self.parameters:
            if each["in"] == "path":
                path = path.replace(f"{{{each['name']}}}", quote(str(each["schema"]["enum"][0]), safe=""))
        return path

    def bodies(self) -> Iterator[tuple[str, str, str]]:
        """Media type, name and text of each example of its body."""
        for media_type, content in self.what.get("requestBody", {}).get("content", {}).items():
            for name, example in content.get("examples", {}).items():
                value = example["value"]
                yield media_type, name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def docs(description: Description, base: str) -> Response:
    """The page.

    Args:
        description: of the API.
        base: address by which the reader came here, for the command lines.
    """
    document = description.document
    operations = [
        Operation(method.upper(), path, what)
        for path, methods in document["paths"].items()
        for method, what in methods.items()
    ]
    groups: dict[str, tuple[str | None, list[Operation]]] = {
        tag["name"]: (tag.get("description"), []) for tag in document["tags"]
    }
    for operation in operations:
        groups[operation.what["tags"][0]][1].append(operation)
    schemas = document["components"]["schemas"]
    parts = [
        section(_anchor(tag), tag, element("p", words) if words else None, [_operation(each, base) for each in found])
        for tag, (words, found) in groups.items()
    ]
    named = section("schemas", "Schemas", [_schema(name, schema) for name, schema in schemas.items()])
    title = f"{document['info']['title']} {document['info']['version']}"
    main = [
        element("h1", "API ", element("span", title, class_="pill")),
        _introduction(),
        element("div", _contents(groups, schemas), element("div", parts, named), class_="api"),
    ]
    return page(f"API of {title}", "/docs", main, script=DOCS)


def _introduction() -> Html:
    return element(
        "p",
        "Every route that this server answers, with the contract's own types and limits. For programs: ",
        element("a", "openapi.json", href="/openapi.json"),
        ". Every answer carries ",
        element("code", "X-Request-Id"),
        ": yours, if you send one, else a fresh one; the server's log has it.",
        class_="lead",
    )


def _contents(groups: Mapping[str, tuple[str | None, Sequence[Operation]]], schemas: Mapping[str, Any]) -> Html:
    parts = [
        (
            element("h2", tag),
            element(
                "ul",
                [element("li", element("a", f"{each.method} {each.path}", href=f"#{each.anchor}")) for each in found],
            ),
        )
        for tag, (_, found) in groups.items()
    ]
    links = [element("li", element("a", name, href=f"#schema-{name}")) for name in schemas]
    return element("nav", parts, element("h2", "Schemas"), element("ul", links), aria_label="Routes and schemas")


def _operation(operation: Operation, base: str) -> Html:
    what = operation.what
    summary = element(
        "summary",
        element("span", operation.method, class_=f"verb {operation.method.lower()}"),
        element("h3", operation.path),
        element("span", what["summary"], class_="muted"),
    )
    body = element(
        "div",
        element("p", what["description"]) if what.get("description") else None,
        _parameters(operation),
        _request(operation, base),
        _responses(what["responses"]),
        _try(operation),
    )
    first = operation.anchor == "op-predict"
    return element("details", summary, body, class_="operation", id=operation.anchor, open=first)


def _parameters(operation: Operation) -> Node:
    rows: list[list[Node]] = [
        [
            element("code", each["name"]),
            each["in"],
            [kind(each["schema"]), " ", limits(each["schema"])],
            each.get("description", ""),
        ]
        for each in operation.parameters
    ]
    return _titled("Parameters", table("Parameters", ("Name", "In", "Type", "What"), rows)) if rows else None


def _request(operation: Operation, base: str) -> Node:
    content = operation.what.get("requestBody", {}).get("content", {})
    takes = [
        element("li", element("code", media_type), ": ", _body(each.get("schema")))
        for media_type, each in content.items()
    ]
    commands: list[Node] = [
        [
            element("h4", f"Example: {name.replace('_', ' ')} ", element("code", media_type, class_="muted")),
            copyable(command_line(base, operation.real_path, media_type, body), f"the command, {name}"),
        ]
        for media_type, name, body in operation.bodies()
    ]
    plain = None if content else copyable(command_line(base, operation.real_path), "the command")
    return [_titled("Body", element("ul", takes)) if takes else None, commands, plain]


def _body(schema: Any) -> Node:
    described = schema.get("description") if isinstance(schema, dict) else None
    return described if described and schema.get("type") == "string" else kind(schema)


def _responses(responses: Mapping[str, Any]) -> Node:
    rows: list[list[Node]] = []
    examples: list[Node] = []
    for status, response in responses.items():
        content = response.get("content", {})
        kinds: list[Node] = [
            element("div", element("code", media_type), " ", _body(each.get("schema")))
            for media_type, each in content.items()
        ]
        rows.append([status, response["description"], kinds])
        for each in content.values():
            shown = {name: example["value"] for name, example in each.get("examples", {}).items()}
            shown |= {"problem": each["example"]} if status == "422" and "example" in each else {}
            examples += [
                [
                    element("h4", f"Answer {status}: {name.replace('_', ' ')}"),
                    copyable(json.dumps(value, indent=2, ensure_ascii=False), f"the answer, {name}"),
                ]
                for name, value in shown.items()
            ]
    return [_titled("Answers", table("Answers", ("Status", "When", "Body"), rows)), examples]


def _try(operation: Operation) -> Html:
    """A form to send the request; it needs a script, which shows it."""
    anchor = operation.anchor
    bodies = list(operation.bodies())
    flags = [
        element("label", element("input", type="checkbox", name=each["name"], class_="flag"), " ", each["name"])
        for each in operation.parameters
        if each["in"] == "query" and each["schema"].get("type") == "boolean"
    ]
    fields: list[Node] = []
    if bodies:
        options = [
            element("option", f"{name.replace('_', ' ')} ({media_type})", data_body=body, data_type=media_type)
            for media_type, name, body in bodies
        ]
        fields = [
            element(
                "div",
                element("label", "Body", for_=f"{anchor}-kind"),
                element("select", options, id=f"{anchor}-kind"),
                class_="row",
            ),
            element("textarea", "\n", bodies[0][2], rows=8, spellcheck="false", aria_label="Body"),
        ]
    return element(
        "form",
        element("h4", "Try it"),
        fields,
        element("div", flags, element("button", "Send", type="submit"), class_="row"),
        element("output", aria_label="Answer", class_="mono"),
        class_="try",
        hidden=True,
        data_path=operation.real_path,
        data_method=operation.method,
    )


def _schema(name: str, schema: Mapping[str, Any]) -> Html:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    rows: list[list[Node]] = [
        [
            element("code", each),
            kind(found),
            [limits(found), _description(found)],
            "yes" if each in required else "no",
        ]
        for each, found in properties.items()
    ]
    tall = "tall" if len(rows) > _MANY else None
    shown = (
        table(f"Properties of {name}", ("Property", "Type", "Limits", "Required"), rows, class_=tall) if rows else None
    )
    words = element("p", schema["description"]) if schema.get("description") else None
    return element("article", element("h3", name), words, shown or element("p", kind(schema)), id=f"schema-{name}")


def _description(schema: Any) -> Node:
    said = schema.get("description") if isinstance(schema, dict) else None
    return [" ", element("span", said, class_="muted")] if said else None


def _titled(heading: str, content: Node) -> Node:
    return [element("h4", heading), content]


def _anchor(tag: str) -> str:
    return f"tag-{tag.lower().replace(' ', '-')}"
