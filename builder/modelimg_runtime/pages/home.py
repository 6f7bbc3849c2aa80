"""``/``: the model for people. What it is, what it takes, how good it was, where it came from, and a form to ask it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from modelimg_runtime import contract
from modelimg_runtime.openapi import Description
from modelimg_runtime.pages.fields import Field, allowed, control, fields_of
from modelimg_runtime.pages.frame import page, section, table
from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.origin import origin
from modelimg_runtime.pages.scripts import HOME
from modelimg_runtime.service import Ready

_MANY: Final = 40
"""Columns from which on they scroll, and can be searched."""
_MOST_EXAMPLES: Final = 9
_MOST_CLASSES: Final = 6


@dataclass(frozen=True)
class Filled:
    """What stands in the form.

    Attributes:
        texts: of each field, by its key.
        shown: what came of it, if it was sent.
        wrong: what the contract said of it, by column.
        example: number of the packed example that it is.
    """

    texts: Mapping[str, str]
    shown: Html | None = None
    wrong: Mapping[str, Sequence[str]] = field(default_factory=dict)
    example: int | None = None

    @classmethod
    def of(cls, examples: contract.Examples, number: int, fields: Sequence[Field]) -> Filled:
        """A packed example; the first where there is no such."""
        if not examples.rows:
            return cls({})
        number = number if number < len(examples.rows) else 0
        row = dict(zip(examples.columns, examples.rows[number], strict=True))
        return cls({each.key: each.text(row.get(each.column.name)) for each in fields}, example=number)


def home(ready: Ready, description: Description, filled: Filled | int = 0, status: int = 200) -> Response:
    """The page.

    Args:
        ready: what is served.
        description: of its API.
        filled: what stands in the form, or the number of the packed example that does.
        status: of the answer.
    """
    fields = fields_of(description.contract)
    if isinstance(filled, int):
        filled = Filled.of(ready.model.examples, filled, fields)
    info = ready.info
    name, version = ready.identity
    main = [
        element("h1", name, " ", element("span", version, class_="pill")),
        element("p", info["metadata"].get("description"), class_="lead")
        if info["metadata"].get("description")
        else None,
        _flow(info, len(fields)),
        _form(ready, fields, filled),
        _contract(fields, description),
        element("div", _metrics(info["metrics"]), origin(info), class_="columns"),
        element("footer", _footer(info)),
    ]
    return page(f"{name} {version}", "/", main, script=HOME, status=status)


def _flow(info: Mapping[str, Any], columns: int) -> Html:
    """From columns by way of the estimator to what it predicts."""
    estimator = str(info["model"]["estimator"])
    classes = [str(label) for label in info["classes"]]
    listed = ", ".join(classes[:_MOST_CLASSES])
    more = len(classes) - _MOST_CLASSES
    listed += f", and {more} more" if more > 0 else ""
    kind = {"classification": "one of its classes", "regression": "a number"}.get(info["task"], "its answer")
    steps = [
        (f"{columns} column{'s' if columns != 1 else ''}", "checked by the input contract"),
        (estimator.rpartition(".")[2], estimator),
        (info["target"] or "prediction", listed or kind),
    ]
    items = [element("li", element("b", heading), element("span", words)) for heading, words in steps]
    return element("ol", items, class_="flow", aria_label="What it does")


# ---- the form ------------------------------------------------------------------------------------------------------


def _form(ready: Ready, fields: Sequence[Field], filled: Filled) -> Html:
    many = len(fields) > _MANY
    inputs = [control(each, filled.texts.get(each.key, ""), filled.wrong.get(each.column.name, ())) for each in fields]
    grid = element(
        "div",
        inputs,
        id="fields",
        class_="fields many" if many else "fields",
        tabindex=0 if many else None,
        role="group",
        aria_label="Columns",
    )
    form = element(
        "form",
        _choose(ready, filled.example),
        _find() if many else None,
        grid,
        element("p", element("button", "Predict", type="submit")),
        id="form",
        method="post",
        action="/try#try",
        autocomplete="off",
        novalidate=True,  # the contract itself shall answer, and name every fault
    )
    answer = element("div", filled.shown, id="answer", role="status", tabindex=-1)
    return section("try", "Ask it", element("div", form, answer, class_="card"))


def _choose(ready: Ready, example: int | None) -> Html | None:
    """Links that fill the form with a packed example, and what the model said of it in training."""
    examples = ready.model.examples
    if not examples.rows:
        return None
    links = [
        element(
            "li",
            element(
                "a",
                number + 1,
                href=f"/?example={number}#try",
                aria_current="true" if number == example else None,
                aria_label=f"Example {number + 1}",
            ),
        )
        for number in range(min(len(examples.rows), _MOST_EXAMPLES))
    ]
    said = None
    if example is not None:
        value = examples.predictions[example]
        words = ", ".join(map(plain, value)) if isinstance(value, (list, tuple)) else plain(value)
        said = element("span", "in training, the model said ", element("strong", words), class_="muted")
    return element(
        "div", element("span", "Start from example"), element("ul", links, class_="examples"), said, class_="row spaced"
    )


def _find() -> Html:
    label = element("label", "Find a column", for_="find")
    return element(
        "div", label, element("input", type="search", id="find", autocomplete="off"), class_="row", hidden=True
    )


# ---- contract and metrics ------------------------------------------------------------------------------------------


def _contract(fields: Sequence[Field], description: Description) -> Html:
    rows: list[list[Node]] = [
        [
            _named(each),
            element("span", each.kind, " ", element("code", each.column.dtype, class_="muted")),
            allowed(each),
            "yes" if each.column.nullable else "no",
        ]
        for each in fields
    ]
    heads = ("Column", "Type", "Takes", "May be missing")
    tall = "tall" if len(fields) > _MANY else None
    checks = [*description.contract.input.checks]
    also = element("p", "Also checked: ", "; ".join(checks), ".", class_="hint") if checks else None
    words = (
        "Every request is checked against this before the model sees it, and every prediction before you see it. "
        "Anything else is refused, with each failing cell named."
    )
    return section(
        "contract", "What it takes", element("p", words), table("The input contract", heads, rows, class_=tall), also
    )


def _named(field: Field) -> Node:
    optional = element("span", " optional", class_="muted") if not field.column.required else None
    title = field.column.title
    named = [element("span", title), element("br"), element("code", field.column.name)] if title else field.column.name
    return [named, optional]


def _metrics(metrics: Mapping[str, Any] | None) -> Html:
    splits = {split: found for split, found in (metrics or {}).items() if isinstance(found, dict)}
    names = list(dict.fromkeys(name for found in splits.values() for name in found))
    numbers = [name for name in names if any(_is_number(found.get(name)) for found in splits.values())]
    rows: list[list[Node]] = [[name, *(_figure(found.get(name)) for found in splits.values())] for name in numbers]
    heads = ("Metric", *splits)
    shown: Node = table("Metrics by split", heads, rows) if rows else element("p", "None were packed.", class_="muted")
    matrices = [
        _confusion(split, found["confusion_matrix"]) for split, found in splits.items() if "confusion_matrix" in found
    ]
    return section("metrics", "How good it was", shown, matrices)


def _confusion(split: str, matrix: Any) -> Html | None:
    """Rows are what was true, columns what was predicted, as scikit-learn has it."""
    if not (
        isinstance(matrix, dict) and isinstance(matrix.get("classes"), list) and isinstance(matrix.get("counts"), list)
    ):
        return None
    classes = [str(label) for label in matrix["classes"]]
    if len(classes) > _MOST_CLASSES * 2:
        return None
    rows: list[list[Node]] = [[label, *counts] for label, counts in zip(classes, matrix["counts"], strict=False)]
    caption = f"Confusion matrix, {split}: true class by predicted class"
    return element("div", element("h3", f"Confusion, {split}"), table(caption, ("true ↓ predicted →", *classes), rows))


def plain(value: Any) -> str:
    """A predicted value in words."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _figure(value: Any) -> Node:
    if value is None or isinstance(value, (dict, list)):
        return ""
    return element("span", f"{value:.4f}" if isinstance(value, float) else json.dumps(value), title=json.dumps(value))


def _footer(info: Mapping[str, Any]) -> list[Node]:
    texts = info["metadata"]
    said = [texts.get("authors"), texts.get("vendor"), texts.get("licenses")]
    words: list[Node] = [" · ".join(str(each) for each in said if each)]
    return [*words, element("p", "Served by modelimg. This page loads nothing from anywhere else.")]
