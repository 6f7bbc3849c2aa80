"""A prediction made from the page's form: what was typed, and what came of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.responses import Response

from modelimg_runtime.columns import ABSENT, Prediction
from modelimg_runtime.errors import PayloadError, Violation
from modelimg_runtime.openapi import Description
from modelimg_runtime.pages.fields import Field, fields_of
from modelimg_runtime.pages.frame import command_line, copyable
from modelimg_runtime.pages.home import Filled, home, plain
from modelimg_runtime.pages.html import Html, element
from modelimg_runtime.problems import Problem, problem_of
from modelimg_runtime.protocols.bodies import JSON
from modelimg_runtime.service import Ready

_MOST_BARS: Final = 10


@dataclass(frozen=True)
class Attempt:
    """What a person typed, before anybody knows what comes of it.

    Attributes:
        ready: what is asked.
        description: of its API.
        fields: of the form.
        texts: what stands in each field, by its key.
        request_id: of the request.
        base: address of this server, for the command line that asks the same.
    """

    ready: Ready
    description: Description
    fields: Sequence[Field]
    texts: Mapping[str, str]
    request_id: str
    base: str

    @classmethod
    def of(cls, ready: Ready, description: Description, body: bytes, request_id: str, base: str) -> Attempt:
        """What a form's body, ``application/x-www-form-urlencoded``, holds.

        Raises:
            PayloadError: the body is no form, or another one.
        """
        fields = fields_of(description.contract)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=len(fields) + 1, errors="strict")
        except ValueError as error:  # not UTF-8, or more fields than the form has
            raise PayloadError("the body is not what this page's form sends") from error
        return cls(ready, description, fields, dict(pairs), request_id, base)

    @property
    def row(self) -> dict[str, Any]:
        """The one row that was typed, as JSON values."""
        values = {each.column.name: each.value(self.texts.get(each.key, "")) for each in self.fields}
        return {name: value for name, value in values.items() if value is not ABSENT}

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The same as columns."""
        return {name: [value] for name, value in self.row.items()}

    @property
    def command(self) -> str:
        """How to ask the same on the command line."""
        return command_line(self.base, "/predict", JSON, json.dumps({"rows": [self.row]}, ensure_ascii=False))

    def answered(self, prediction: Prediction) -> Response:
        """The page with the prediction."""
        return self._page(_answered(self, prediction), 200, {})

    def refused(self, error: Exception) -> Response:
        """The page with what the contract says."""
        problem = problem_of(error)
        return self._page(_refused(self, problem), problem.status, _by_column(problem.errors))

    def _page(self, shown: Html, status: int, wrong: Mapping[str, Sequence[str]]) -> Response:
        return home(self.ready, self.description, Filled(self.texts, shown, wrong), status)


def _answered(made: Attempt, prediction: Prediction) -> Html:
    value = prediction.predictions[0]
    target = made.ready.model.package.manifest.target or "prediction"
    body: dict[str, Any] = {"id": made.request_id, "predictions": prediction.predictions}
    bars = None
    if prediction.probabilities is not None:
        named = dict(zip(map(str, made.ready.classes), prediction.probabilities[0], strict=True))
        body["probabilities"] = [named]
        bars = _bars(named)
    return element(
        "div",
        element("h3", target),
        element("p", ", ".join(map(plain, value)) if isinstance(value, list) else plain(value), class_="verdict"),
        bars,
        _how(made.command, body),
        class_="answer",
    )


def _bars(probabilities: Mapping[str, float]) -> Html:
    likely = sorted(probabilities.items(), key=lambda pair: -pair[1])
    lines = [
        (
            element("dt", label),
            element(
                "dd",
                element(
                    "svg",
                    element("rect", width=f"{100 * probability:.2f}", height=10),
                    viewBox="0 0 100 10",
                    preserveAspectRatio="none",
                    class_="bar",
                    aria_hidden="true",
                ),
            ),
            element("dd", f"{100 * probability:.1f} %"),
        )
        for label, probability in likely[:_MOST_BARS]
    ]
    more = len(likely) - _MOST_BARS
    rest = element("p", f"and {more} less likely classes", class_="hint") if more > 0 else None
    return element("div", element("dl", lines, class_="bars"), rest)


def _refused(made: Attempt, problem: Problem) -> Html:
    keys = {each.column.name: each.key for each in made.fields}
    places = [
        element("li", element("a", each.column, href=f"#{keys[each.column]}"), f": {_said(each)}")
        if each.column in keys
        else element("li", str(each))
        for each in problem.errors
    ]
    return element(
        "div",
        element("h3", "The contract says no" if problem.status < 500 else "No answer that may be served"),
        element("p", f"{problem.detail[:1].upper()}{problem.detail[1:]}."),
        element("ul", places) if places else None,
        _how(made.command, None),
        element("p", "Request ", element("code", made.request_id), class_="hint") if problem.status >= 500 else None,
        class_="answer no",
    )


def _how(command: str, body: Mapping[str, Any] | None) -> Html:
    answer = json.dumps(body, indent=2, ensure_ascii=False) if body is not None else None
    return element(
        "details",
        element("summary", "The same on the command line"),
        copyable(command, "the command"),
        copyable(answer, "the answer") if answer else None,
    )


def _by_column(violations: Sequence[Violation]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for each in violations:
        if each.column is not None:
            found[each.column].append(_said(each))
    return dict(found)


def _said(violation: Violation) -> str:
    got = "" if violation.value is None else f", got {violation.value!r}"
    return f"{violation.check}{got}"
