"""The pages in a real browser: nothing in the console, nothing from elsewhere, and nobody shut out.

Needs no Docker Engine, but chromium and axe-core, which ``scripts/test-tools`` installs for the tests with this mark.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.linear_model import LogisticRegression

from chromium import Chromium

pytestmark = pytest.mark.engine

AXE = Path(__file__).parents[3] / ".work/axe-core/package/axe.min.js"
"""Deque's accessibility checks: WCAG 2 A and AA, and best practices."""
UNFOLD = "for (const each of document.querySelectorAll('details')) each.open = true"
VIOLATIONS = """axe.run().then(found => found.violations.map(each =>
    [each.id, each.help, each.nodes.slice(0, 5).map(node => node.html.slice(0, 200))]))"""
EVIL = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def wide(tmp_path_factory, tools):
    """300 columns, one with a name and a class with a label of somebody who means harm."""
    names = [EVIL, *(f"sensor {number:03}" for number in range(1, 300))]
    X = pd.DataFrame({name: [1.0, 2.0, 3.0, 4.5] for name in names})
    labels = ["fine", EVIL]
    probabilities = {f"probability_{label}": pa.Column("float64") for label in labels}
    output = pa.DataFrameSchema({"prediction": pa.Column("str"), **probabilities}, strict=True)
    schema = pa.DataFrameSchema({name: pa.Column("float64", pa.Check.in_range(0, 99)) for name in names}, strict=True)
    model = LogisticRegression().fit(X.to_numpy(), [labels[0], labels[0], labels[1], labels[1]])
    return tools.write_package(tmp_path_factory.mktemp("wide") / "model", model, X, schema, output)


@pytest.fixture(scope="module", params=["mixed", "wide"])
def address(request, tools):
    with tools.client_of(request.getfixturevalue(request.param).folder) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def mixed_address(mixed, tools):
    with tools.client_of(mixed.folder) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def wide_address(wide, tools):
    with tools.client_of(wide.folder) as client:
        yield str(client.base_url)


def check(browser, address):
    """What must hold of a page whatever was done to it."""
    assert browser.complaints() == []
    assert {url for url in browser.requests() if not url.startswith(address)} == set()
    assert browser.evaluate("window.hacked") is None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360], ids=["desktop", "phone"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_opens_without_a_complaint_and_fits_its_window(browser, address, path, width, dark):
    browser.open(address + path, width=width, dark=dark)
    browser.evaluate(UNFOLD)
    assert browser.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(paper.strip("rgb()").split(",")[0]) < 64) is dark
    check(browser, address)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_axe_finds_nothing(browser, mixed_address, path, dark):
    browser.open(mixed_address + path, dark=dark)
    browser.evaluate(UNFOLD)
    browser.evaluate(AXE.read_text())
    assert browser.evaluate(VIOLATIONS) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("age", ["41", "999"], ids=["predicted", "refused"])
def test_axe_finds_nothing_in_an_answer(browser, mixed_address, age, dark):
    browser.open(mixed_address, dark=dark)
    predict(browser, f"document.getElementById('c0').value = '{age}'")
    browser.evaluate(UNFOLD)
    browser.evaluate(AXE.read_text())
    assert browser.evaluate(VIOLATIONS) == []


def predict(browser, change="0"):
    browser.evaluate(f"{change}; document.querySelector('#form button').click()")
    browser.wait_for("document.getElementById('answer').textContent")


def test_a_prediction_comes_without_leaving_the_page(browser, mixed_address):
    browser.open(f"{mixed_address}/?example=1")
    predict(browser)
    assert browser.evaluate("document.querySelector('.verdict').textContent") == "yes"
    assert browser.evaluate("document.activeElement.id") == "answer"
    assert browser.evaluate("location.search") == "?example=1"
    check(browser, mixed_address)


def test_a_refusal_stands_at_its_field_and_goes_with_it(browser, mixed_address):
    browser.open(mixed_address)
    predict(browser, "document.getElementById('c0').value = '999'")
    wrong = "document.querySelector('#c0-wrong')?.textContent"
    assert browser.evaluate(wrong) == "in_range(0, 120), got 999"
    assert browser.evaluate("document.getElementById('c0').getAttribute('aria-invalid')") == "true"
    browser.evaluate("document.getElementById('c0').value = '42'; document.querySelector('#form button').click()")
    browser.wait_for("document.querySelector('.verdict')")
    assert browser.evaluate(wrong) is None
    # The browser itself notes that a 422 came; nothing else may be noted.
    assert all("422" in complaint for complaint in browser.complaints())


def test_the_form_needs_no_script(browser, mixed_address):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(f"{mixed_address}/?example=1")
        browser.events.clear()
        browser.evaluate("document.getElementById('form').submit()")
        browser.wait_for_event("Page.loadEventFired")
        assert browser.evaluate("location.pathname") == "/try"
        assert browser.evaluate("document.querySelector('.verdict').textContent") == "yes"
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


def test_a_server_that_is_gone_is_told(browser, mixed, tools):
    with tools.client_of(mixed.folder) as client:
        browser.open(str(client.base_url))
    predict(browser)
    assert browser.evaluate("document.getElementById('answer').textContent").startswith("The server did not answer")


def test_one_of_many_columns_is_found(browser, wide_address):
    browser.open(wide_address)
    shown = "[...document.querySelectorAll('.field')].filter(each => !each.hidden).length"
    assert browser.evaluate(shown) == 300
    type_into = "const box = document.getElementById('find'); box.value = '{}'; box.dispatchEvent(new Event('input'))"
    browser.evaluate(f"{{ {type_into.format('SENSOR 29')} }}")
    assert browser.evaluate(shown) == 10
    predict(browser)
    assert browser.evaluate(shown) == 10
    assert EVIL in browser.evaluate("document.querySelector('.answer').textContent")
    check(browser, wide_address)


def test_a_request_of_the_documentation_can_be_sent(browser, mixed_address):
    browser.open(f"{mixed_address}/docs")
    form = "document.querySelector('#op-predict form')"
    browser.evaluate(f"{form}.querySelector('input[name=probabilities]').checked = true")
    output = f"{form}.querySelector('output').textContent"
    for kind, answer in ((0, '"probabilities"'), (2, '"predictions"')):
        browser.evaluate(
            f"{{ const form = {form}; const kind = form.querySelector('select'); form.querySelector('output').value = '';"
            f"kind.selectedIndex = {kind}; kind.dispatchEvent(new Event('change')); form.querySelector('button').click() }}"
        )
        browser.wait_for(output)
        assert browser.evaluate(output).startswith("200 in ")
        assert answer in browser.evaluate(output)
    check(browser, mixed_address)


def test_a_link_to_a_folded_route_unfolds_it(browser, mixed_address):
    browser.open(f"{mixed_address}/docs#op-kservePredict")
    assert browser.evaluate("document.getElementById('op-kservePredict').open") is True
    browser.evaluate("location.hash = '#op-oipInfer'")
    browser.wait_for("document.getElementById('op-oipInfer').open")


def test_a_command_is_copied(browser, mixed_address):
    browser.open(f"{mixed_address}/docs")
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": mixed_address}
    browser.send("Browser.grantPermissions", **grant)
    browser.evaluate("document.querySelector('#op-predict .copy').click()")
    browser.wait_for("document.querySelector('#op-predict .copy').textContent == 'Copied'")
    assert browser.evaluate("navigator.clipboard.readText()").startswith(f"curl {mixed_address}/predict")
