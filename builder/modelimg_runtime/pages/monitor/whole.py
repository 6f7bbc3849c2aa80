"""The page, put together."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from modelimg_runtime.environment import ENV_MONITOR, Settings
from modelimg_runtime.monitor.baseline import Baseline, NoBaseline
from modelimg_runtime.monitor.monitor import Monitor
from modelimg_runtime.monitor.report import report
from modelimg_runtime.pages.frame import page, section
from modelimg_runtime.pages.html import Html, Node, element
from modelimg_runtime.pages.monitor.chooser import chooser
from modelimg_runtime.pages.monitor.closely import cards
from modelimg_runtime.pages.monitor.columns import Side
from modelimg_runtime.pages.monitor.headline import headline
from modelimg_runtime.pages.monitor.parts import key
from modelimg_runtime.pages.monitor.performance import performance
from modelimg_runtime.pages.monitor.question import PATH, Question
from modelimg_runtime.pages.monitor.style import STYLE
from modelimg_runtime.pages.monitor.trend import trend
from modelimg_runtime.pages.monitor.words import count, counted, shown
from modelimg_runtime.service import Ready


def monitor_page(ready: Ready, settings: Settings, query: Mapping[str, str], base: str) -> Response:
    """The page, or one that says why nothing is monitored.

    Args:
        ready: what is served.
        settings: of the server.
        query: parameters of the request.
        base: address by which the reader came here, for the command line.
    """
    name, version = ready.identity
    title = element("h1", "Monitor ", element("span", f"{name} {version}", class_="pill"))
    if ready.monitor is None:
        words = f"Nothing is monitored here: {_why_not(ready, settings)}."
        return page(f"Monitor of {name} {version}", PATH, [title, element("p", words, class_="lead")], style=STYLE)
    return watched(ready.monitor, Question.of(query), base)


def watched(monitor: Monitor, question: Question, base: str) -> Response:
    """The page of a model that is monitored: 400 where the window is none, and 404 where a column is not there.

    Args:
        monitor: of this container.
        question: that was asked.
        base: as above.
    """
    baseline, document = monitor.baseline, monitor.document()
    model = f"{baseline.identity.name} {baseline.identity.version}"
    title, head = f"Monitor of {model}", element("h1", "Monitor ", element("span", model, class_="pill"))
    choice = chooser(question, monitor.limits)
    if question.wrong:
        return page(title, PATH, [head, choice], status=400, style=STYLE)
    found = report(document, baseline, question.span)
    inputs, outputs, counts = baseline.input.columns, baseline.output.columns, found.counts
    into = Side.of("feature", "training data", inputs, counts.inputs, found.inputs, question)
    out = Side.of("answer", f"{baseline.output.split} split", outputs, counts.outputs, found.outputs, question)
    content: list[Node] = [
        head,
        headline(found, baseline, question, document.written),
        choice,
        _inputs(into, baseline.input.rows),
        _outputs(out, baseline.output.rows),
        performance(found, baseline, base),
        trend(document, baseline),
        element("footer", _footer(question)),
    ]
    return page(title, PATH, content, status=404 if into.unknown or out.unknown else 200, style=STYLE)


def _inputs(side: Side, rows: int) -> list[Html]:
    words = (
        f"Live rows beside {counted(rows, 'row')} of training data, the worst column first. A column drifted where a "
        "difference is larger than its limit and no chance."
    )
    worst = section(
        "drift", "What drifted first", element("p", words), key(side.reference), side.table("Input columns")
    )
    bins = (
        "Bins hold about equal shares of the training data, so a flat outline is how it was. Below and above are the "
        "values beyond its edges."
    )
    close = section(
        "features",
        "Column by column",
        element("p", bins),
        _fewer(side),
        _unknown(side),
        key(side.reference),
        cards(side),
    )
    return [worst, close]


def _outputs(side: Side, rows: int) -> Html:
    words = f"The model's answers beside those to {count(rows)} rows of the {side.reference} that were packed."
    return section(
        "answers",
        "What the model said",
        element("p", words),
        _unknown(side),
        key(side.reference),
        cards(side),
        element("details", element("summary", "All outputs as a table"), side.table("Outputs")),
    )


def _fewer(side: Side) -> Html | None:
    number, close = len(side.columns), len(side.closely)
    if number == close:
        return None
    return element("p", f"The {close} worst of {number}; in the table above, each other one has a link.")


def _unknown(side: Side) -> Html | None:
    if not side.unknown:
        return None
    return element(
        "p", "There is no column ", element("bdi", shown(side.asked or "")), ".", class_="wrong", role="alert"
    )


def _footer(question: Question) -> list[Node]:
    address = question.href().replace(PATH, f"{PATH}.json", 1)
    return [
        element(
            "p",
            "The same for programs: ",
            element("a", "monitor.json", href=address),
            ". For Prometheus: ",
            element("a", "metrics", href="/metrics"),
            ".",
        ),
        element("p", "Only counts are kept: no row, and no value that the packed profiles do not name."),
    ]


def _why_not(ready: Ready, settings: Settings) -> str:
    if not settings.monitor:
        return f"{ENV_MONITOR} is off"
    try:
        Baseline.of(ready.model.package)
    except NoBaseline as error:
        return str(error)
    return "no row is counted in this process"
