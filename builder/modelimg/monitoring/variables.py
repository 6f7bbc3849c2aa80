"""Variables of the Grafana dashboard: data source, job, instance, feature and output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from modelimg.monitoring.panels import DATASOURCE
from modelimg.monitoring.promql import equals, series
from modelimg_runtime.monitor import Baseline

_KEPT: Final = frozenset(" _-.()/%+&=<>#@!?*;")
"""Beside letters and digits; the others would mean something to Grafana, or to a string of PromQL."""


def variables(baseline: Baseline, job: str | None) -> list[dict[str, Any]]:
    """The dashboard's ``templating.list``."""
    info = series("modelimg_info", equals("model", baseline.identity.name))
    found = [
        {
            "name": "datasource",
            "label": "data source",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "hide": 0,
        },
        _asked("job", f"label_values({info}, job)", job),
        _asked("instance", 'label_values(modelimg_info{job=~"$job"}, instance)', None),
    ]
    if names := named_features(baseline):
        found.append(_listed("feature", names))
    if len(baseline.output.predictions) > 1:
        found.append(_listed("output", [column.name for column in baseline.output.predictions]))
    return found


def named_features(baseline: Baseline) -> list[str]:
    """The columns that can be chosen: to Prometheus, an empty label is none."""
    return [column.name for column in baseline.input.columns if column.name]


def _asked(name: str, query: str, chosen: str | None) -> dict[str, Any]:
    """What Prometheus knows of a label; all of it unless something is chosen."""
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "hide": 0,
        "current": everything if chosen is None else {"selected": True, "text": [chosen], "value": [chosen]},
    }


def _listed(name: str, values: Sequence[str]) -> dict[str, Any]:
    """The packed names. A value is what stands between the quotes of a PromQL string, for ``${name:raw}``.

    Grafana would escape a name in its own way, which differs between versions and knows no double quote.
    """
    options = [
        {"selected": place == 0, "text": _shown(value), "value": inside_quotes(value)}
        for place, value in enumerate(values)
    ]
    query = ", ".join(f"{_without_commas(_shown(value))} : {inside_quotes(value)}" for value in values)
    current = {key: options[0][key] for key in ("selected", "text", "value")}
    return {
        "name": name,
        "label": name,
        "type": "custom",
        "query": query,
        "options": options,
        "current": current,
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


def inside_quotes(text: str) -> str:
    r"""A text for a PromQL string, with escapes (``\u002c``) for all that is neither a letter, a digit nor harmless."""
    ends = len(text) - len(text.rstrip(" ")), len(text) - len(text.lstrip(" "))
    return "".join(_codes(text, *ends))


def _codes(text: str, trailing: int, leading: int) -> Iterator[str]:
    for place, character in enumerate(text):
        edge = place < leading or place >= len(text) - trailing
        if not edge and (character in _KEPT or (character.isalnum() and character.isprintable())):
            yield character
        else:
            code = ord(character)
            yield f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def _shown(text: str) -> str:
    """For people: as it is, but what cannot be seen is written out."""
    visible = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return visible if visible.strip() else f'"{visible}"'


def _without_commas(text: str) -> str:
    return text.replace(",", "\\,")
