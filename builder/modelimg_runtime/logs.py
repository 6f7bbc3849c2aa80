"""Logs on standard error: lines of text, or of JSON, each with the id of the request that it belongs to.

Text that came from a caller cannot forge a line: control characters are written as escapes, and every further line of a
traceback is indented. The access log holds no values of the data; reports of failures may.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import unicodedata
from contextvars import ContextVar
from typing import Any

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""Id of the request that is being answered, also in the threads that work for it."""
FIELDS = "fields"
"""Attribute of a log record with what else a line of JSON says: ``extra={FIELDS: {"status": 200}}``."""

_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: control and format characters, surrogates, line and paragraph separators."""


def configure(log_format: str = "text", level: str = "info") -> None:
    """Log to standard error.

    Args:
        log_format: ``text`` or ``json``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLogger().level))


class TextLines(logging.Formatter):
    """``2026-01-02T03:04:05.678Z WARNING modelimg_runtime.app: what happened [request id]``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and indented lines of a traceback."""
        request = REQUEST.get()
        message = escaped(record.getMessage())
        tail = f" [{request}]" if request and request not in message else ""
        line = f"{_time(record)} {record.levelname} {record.name}: {message}{tail}"
        return "\n".join([line, *(f"  | {escaped(each)}" for each in _traceback(self, record).split("\n") if each)])


class JsonLines(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``message``, ``request_id``, ``exception``, and fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII."""
        document: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := REQUEST.get():
            document["request_id"] = request
        if traceback := _traceback(self, record):
            document["exception"] = traceback
        return json.dumps({**getattr(record, FIELDS, {}), **document})


def escaped(text: str) -> str:
    """The text with escapes for whatever could begin a line or steer a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode("ascii") if unicodedata.category(each) in _ESCAPED else each
        for each in text
    )


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"
