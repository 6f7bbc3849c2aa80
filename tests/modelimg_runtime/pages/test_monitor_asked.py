"""``/monitor`` as it is asked for: which window and which columns, and how the server answers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote_plus, urlsplit

import httpx
import pytest

from modelimg_runtime import contract
from modelimg_runtime.app import create_app
from modelimg_runtime.environment import Settings
from modelimg_runtime.pages.monitor import whole
from modelimg_runtime.pages.monitor.question import Question
from monitor_page import HOUR, Clock, Page, check, page_of

# ---- what is asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({}, 478),
        ({"window": "total"}, 478),
        ({"window": "1h"}, 239),
        ({"window": "24h"}, 478),
        ({"window": "2025-11-24T16:00Z/2025-11-24T17:00Z"}, 239),
        ({"from": "2025-11-24T16:00", "to": "2025-11-24T17:00"}, 239),
        ({"from": "2025-11-24T18:00+02:00", "to": "2025-11-24T19:00+02:00"}, 239),
        ({"from": "2020-01-01T00:00", "to": "2020-01-02T00:00"}, 0),
        ({"window": "total", "from": "2020-01-01T00:00", "to": "2020-01-02T00:00"}, 0),
    ],
)
def test_the_reader_picks_the_window(cancer_model, query, rows):
    clock = Clock()
    monitor = cancer_model.served(cancer_model.held, clock=clock)
    clock.now += 6 * HOUR
    cancer_model.served(cancer_model.held, monitor=monitor)
    page = page_of(monitor, **query)
    assert f" {rows} rows " in page.words("verdict")
    current = [each["href"] for each in page.all("a", **{"aria-current": "true"})]
    assert current == (["/monitor"] if query in ({}, {"window": "total"}) else current[:1])
    if rows == 0:
        assert "No rows Nothing was counted in this window." in page.words("verdict")
        assert page.all("input", name="from", value="2020-01-01T00:00")
    document = next(each["href"] for each in page.all("a") if each["href"].startswith("/monitor.json"))
    asked = unquote_plus(urlsplit(document).query).removeprefix("window=") or "total"
    assert monitor.report(Question.of({"window": asked}).span).counts.rows == rows


@pytest.mark.parametrize(
    "query",
    [
        {"window": ""},
        {"window": "yesterday"},
        {"window": "0h"},
        {"window": "<script>hacked=1</script>"},
        {"window": "2026-01-02T00:00/2026-01-03T00:00"},
        {"from": "2026-01-03T00:00", "to": "2026-01-02T00:00"},
        {"from": "2026-01-03T00:00"},
        {"to": "2026-01-03T00:00"},
        {"from": '"><script>hacked=1</script>', "to": "\x00"},
        {"from": "9" * 5000, "to": "x"},
    ],
)
def test_what_is_no_window_is_said_at_the_choice(cancer_model, query):
    page = page_of(cancer_model.served(), 400, **query)
    assert "No such window: a window is total" in page.words()
    assert len(page.all("p", role="alert")) == 1
    assert len(page.all("form", method="get", action="/monitor")) == 1
    for name in ("from", "to"):
        typed = query.get(name, "")
        assert [each["value"] for each in page.all("input", name=name)] == [typed if "2026-" in typed else ""]
    assert not page.all("article")


def test_a_column_that_is_asked_for_is_shown_first(cancer_model):
    monitor = cancer_model.served(cancer_model.held)
    last = monitor.report().inputs.columns[-1].name
    assert last not in " ".join(each["aria-labelledby"] for each in page_of(monitor).all("article"))
    page = page_of(monitor, feature=last, answer="confidence", window="24h")
    asked = [each["id"] for each in page.all("article") if "asked" in each["class"].split()]
    assert len(asked) == 2
    assert page.words(asked[0]).startswith(last)
    assert page.words(asked[1]).startswith("confidence")
    close = [each["id"] for each in page.all("article") if each.get("id", "").startswith("feature-")]
    assert (close[0], len(close)) == (asked[0], 12)


@pytest.mark.parametrize("name", ["", "nothing", "<script>hacked=1</script>", "mean radius ", "\ud800", "x" * 9000])
@pytest.mark.parametrize("kind", ["feature", "answer"])
def test_a_column_that_is_not_there_is_said_to_be_none(cancer_model, kind, name):
    page = page_of(cancer_model.served(cancer_model.held), 404, **{kind: name})
    assert "There is no column " in page.words({"feature": "features", "answer": "answers"}[kind])
    assert len(page.all("article")) > 12


# ---- the route -----------------------------------------------------------------------------------------------------


def test_the_page_is_served_with_what_was_predicted(cancer_model, watching, tools):
    rows = cancer_model.held.to_dict("records")
    with tools.client_of(watching(cancer_model)) as client:
        assert client.post("/predict", json={"rows": rows}).status_code == 200
        answer = client.get("/monitor")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        check(answer.text, answer.headers["content-security-policy"])
        assert f" {len(rows)} rows since" in Page(answer.text).words()
        assert f"curl {client.base_url}/feedback" in Page(answer.text).words()
        statuses = {
            query: client.get(f"/monitor?{query}").status_code
            for query in ("window=x", "feature=x", "feature=mean+radius", "from=2026-01-01T00:00&to=2026-01-02T00:00")
        }
        assert list(statuses.values()) == [400, 404, 200, 200]
        assert client.post("/monitor").status_code == 405
        described = client.get("/openapi.json").json()["paths"]["/monitor"]["get"]
        assert described["responses"].keys() == {"200", "400", "404", "503"}
        assert 'href="/monitor"' in client.get("/").text


def test_where_nothing_is_monitored_the_page_says_why(cancer, cancer_model, watching, tools):
    with tools.client_of(cancer.folder) as client:
        answer = client.get("/monitor?window=x")
    assert answer.status_code == 200
    check(answer.text, answer.headers["content-security-policy"])
    assert "Nothing is monitored here: the package has no input_profile.json." in Page(answer.text).words()
    broken = watching(cancer_model)
    profile = json.loads((broken / contract.INPUT_PROFILE).read_bytes()) | {"format_version": 99}
    tools.repack(SimpleNamespace(folder=broken), contract.INPUT_PROFILE, json.dumps(profile).encode())
    with tools.client_of(broken) as client:
        assert "has format 99" in Page(client.get("/monitor").text).words()


def test_people_are_told_that_the_model_is_loading(tmp_path):
    transport = httpx.ASGITransport(create_app(Settings(model_dir=tmp_path), None))

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/monitor")

    answer = asyncio.run(ask())
    assert (answer.status_code, "Almost there" in answer.text) == (503, True)


def test_the_page_is_imported_when_it_is_asked_for_and_then_listed_for_byte_code(cancer_model, watching):
    code = "import sys, modelimg_runtime.serve, modelimg_runtime.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "modelimg_runtime.monitoring" in loaded
    assert [name for name in loaded if name.startswith("modelimg_runtime.pages")] == []
    command = [sys.executable, "-m", "modelimg_runtime.imports", str(watching(cancer_model))]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    modules = {f"modelimg_runtime.pages.monitor.{file.stem}" for file in Path(whole.__file__).parent.glob("[!_]*.py")}
    assert modules <= {*listed}
