"""``/monitor`` taken apart: elements and texts of a page, and what must hold of every one."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from modelimg_runtime.pages.monitor import whole
from modelimg_runtime.pages.monitor.question import Question

BASE = "http://localhost:8080"
HOUR = 3600
START = 490_000 * HOUR + 100
VOID = {"br", "hr", "input", "link", "meta"}
INLINE = {"a", "b", "bdi", "code", "em", "small", "span", "strong", "time"}


class Page(HTMLParser):
    """Elements with their attributes and what text is in each; whether each was closed in order."""

    def __init__(self, source):
        super().__init__()
        self.source, self.elements, self.open, self.text = source, [], [], []
        self.parts: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.elements.append((tag, attributes))
        self._break(tag)
        if tag not in VOID:
            self.open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        self._break(tag)

    def _break(self, tag):
        if tag not in INLINE:
            self.handle_data(" ")

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ("style", "title", "desc"):
            self.text.append(data)
            for _, identifier in self.open:
                if identifier:
                    self.parts.setdefault(identifier, []).append(data)

    def all(self, tag, **wanted):
        found = [attributes for name, attributes in self.elements if name == tag]
        return [each for each in found if all(each.get(key.rstrip("_")) == value for key, value in wanted.items())]

    def words(self, identifier=None):
        return " ".join("".join(self.parts[identifier] if identifier else self.text).replace("\u00a0", " ").split())


def page_of(monitor, status=200, **query):
    answer = whole.watched(monitor, Question.of(query), BASE)
    assert answer.status_code == status
    check(answer.body.decode(), answer.headers["content-security-policy"])
    return Page(answer.body.decode())


def check(source, policy):
    """What must hold of every page: nothing runs, nothing loads, every link leads somewhere, every name is one's own."""
    page = Page(source)
    style = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    assert len(style) == 1
    assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()}'" in policy
    assert "script-src 'none'" in policy
    assert {tag for tag, _ in page.elements} & {"script", "img", "iframe", "object", "foreignobject", "image"} == set()
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert urlsplit(attributes.get("href") or "").scheme in ("", "data")
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(name, identifiers[0]) in identifiers
        if tag == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in identifiers
    for svg in re.findall(r"<svg.*?</svg>", source, re.DOTALL):
        ET.fromstring(svg)
    assert source.count("<h1") == 1
    assert len(page.all("caption")) == len(page.all("table"))


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


def moved(model):
    frame = model.held.copy()
    frame["mean radius"] += 2 * frame["mean radius"].std()
    frame["worst area"] *= 3
    return frame
