from __future__ import annotations

import contextvars
import json
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.logs import FIELDS, REQUEST, JsonLines, TextLines, configure, escaped

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) [\w.]+: .*")


def record(message, *arguments, error=None, **extra):
    raised = (type(error), error, None) if error else None
    made = logging.LogRecord("modelimg_runtime.app", logging.ERROR, "app.py", 1, message, arguments, raised)
    vars(made).update(extra)
    return made


@given(st.text(), st.text())
def test_no_text_forges_a_line_of_text(message, reason):
    lines = TextLines().format(record("%s", message, error=ValueError(reason))).splitlines()
    assert LINE.fullmatch(lines[0])
    assert all(line.startswith("  | ") for line in lines[1:])


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_no_text_breaks_a_line_of_json(message, reason, fields):
    line = JsonLines().format(record("%s", message, error=ValueError(reason), **{FIELDS: fields}))
    assert line.isascii()
    assert line.isprintable()
    document = json.loads(line)
    assert (document["message"], document["level"], document["logger"]) == (message, "error", "modelimg_runtime.app")
    assert document["exception"].startswith("ValueError")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Größe 5 µm", "Größe 5 µm"),
        ("a\nERROR root: b", "a\\nERROR root: b"),
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u2028b\x85c\x0b", "a\\u2028b\\x85c\\x0b"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("\0", "\\x00"),
    ],
)
def test_control_characters_are_shown_not_obeyed(text, shown):
    assert escaped(text) == shown


def test_a_line_names_its_request_once():
    def lines():
        REQUEST.set("r-1")
        said = TextLines().format(record("request %s failed", "r-1"))
        return TextLines().format(record("slow")), said, JsonLines().format(record("slow"))

    plain, said, document = contextvars.copy_context().run(lines)
    assert plain.endswith("slow [r-1]")
    assert said.endswith("request r-1 failed")
    assert json.loads(document)["request_id"] == "r-1"
    assert "request_id" not in json.loads(JsonLines().format(record("slow")))
    assert TextLines().format(record("slow")).endswith("slow")


def test_fields_do_not_replace_what_a_line_says_of_itself():
    document = json.loads(JsonLines().format(record("m", **{FIELDS: {"level": "fine", "status": 200}})))
    assert (document["level"], document["status"]) == ("error", 200)


@pytest.mark.parametrize(("level", "shown"), [("info", ["info", "error"]), ("error", ["error"])])
def test_the_level_and_the_format_are_those_asked_for(level, shown, capsys, monkeypatch):
    root = logging.getLogger()
    before, handlers = root.level, root.handlers[:]
    monkeypatch.setattr(root, "handlers", [])
    try:
        configure("json", level)
        for each in (logging.DEBUG, logging.INFO, logging.ERROR):
            logging.getLogger("modelimg_runtime.test").log(each, "hello")
        lines = capsys.readouterr().err.splitlines()
        assert [json.loads(line)["level"] for line in lines] == shown
        assert logging.getLogger("uvicorn.error").level >= logging.WARNING
    finally:
        root.setLevel(before)
        root.handlers[:] = handlers
        logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
    assert sys.stderr is not None
