"""Whatever a name is, it is one string of PromQL, of YAML and of Grafana's variables, and reads back as that name."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelimg.monitoring.promql import equals, quoted, series
from modelimg.monitoring.rules import template_text
from modelimg.monitoring.variables import _listed, inside_quotes
from modelimg.monitoring.yamltext import dump

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NASTY = st.lists(
    st.sampled_from([*"\\\"'{}[]$,: \n\t\r#%&*!|>-@`~\0\x7f\x85\u2028\ufeff🐧é", "{{", "}}", " : ", "${x}"])
).map("".join)


@given(TEXTS | NASTY)
def test_a_quoted_text_is_json_but_for_characters_beyond_the_first_plane(text: str) -> None:
    planes = re.sub(
        r"(\\\\)|\\U(.{8})", lambda found: found[1] or json.dumps(chr(int(found[2], 16)))[1:-1], quoted(text)
    )
    assert json.loads(planes) == text
    assert "\n" not in quoted(text)


def test_matchers_that_are_empty_are_left_out() -> None:
    assert series("up", equals("job", 'a"b'), "") == 'up{job="a\\"b"}'
    assert series("up") == "up{}"


DATA = st.recursive(
    TEXTS | NASTY | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False, width=16),
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.from_regex(r"[a-z_]{3,8}", fullmatch=True), each, max_size=4)
    ),
    max_leaves=12,
)


@given(DATA)
def test_what_is_written_as_yaml_reads_back(data) -> None:
    reserved = {"yes", "no", "on", "off", "true", "false", "null", "nan"}
    if not reserved & {*re.findall(r"[a-z]+", str(data))}:
        assert yaml.safe_load(dump(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "1",
        "null",
        "- a",
        "a: b",
        " a",
        "a ",
        "a\n",
        "\na",
        "a\n b",
        " a\nb",
        "a\n\nb",
        "#",
        'a"b\\',
        "it's \"",
        "|-",
        "'",
        "a\tb\nc",
    ],
)
def test_texts_that_yaml_would_read_as_something_else_are_read_as_they_are(text: str) -> None:
    assert yaml.safe_load(dump({"key": [text, {"deep": text}]})) == {"key": [text, {"deep": text}]}


def grafana_options(query: str) -> list[tuple[str, str]]:
    """How Grafana reads a custom variable's query: public/app/features/variables/custom."""
    found = []
    for option in re.findall(r"(?:\\,|[^,])+", query):
        text = option.replace("\\,", ",")
        match = re.fullmatch(r"\s*(.+)\s:\s(.+)", text)
        found.append((match[1], match[2]) if match else (text.strip(), text.strip()))
    return found


@given(st.lists((TEXTS | NASTY).filter(bool), min_size=1, max_size=4))
def test_grafana_reads_each_name_as_an_option_that_stands_between_quotes(names: list[str]) -> None:
    variable = _listed("feature", names)
    values = [value for _, value in grafana_options(variable["query"])]
    assert len(values) == len(names)
    for name, value, option in zip(names, values, variable["options"], strict=True):
        assert option["value"] == inside_quotes(name)
        assert value == inside_quotes(name)
        assert not {*value} & {*"\"',:$[]{}\n"}
        plain = re.sub(r"\\U(.{8})|\\u(.{4})", lambda found: chr(int(found[1] or found[2], 16)), option["value"])
        assert plain == name


def test_templates_leave_a_text_as_it_is() -> None:
    assert template_text("{{ evil }} {{{{") == '{{ "{{" }} evil }} {{ "{{" }}{{ "{{" }}'
