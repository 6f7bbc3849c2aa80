"""``/monitor`` in a real browser, for no data, calm, drift and 300 columns: it fits, it is quiet, and axe passes.

With ``MODELIMG_SCREENSHOTS`` set to a folder, what was seen is kept there.
"""

from __future__ import annotations

import base64
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from chromium import Chromium

pytestmark = pytest.mark.engine  # needs chromium and axe-core, which scripts/test-tools installs for these tests

AXE = Path(__file__).parents[3] / ".work/axe-core/package/axe.min.js"
UNFOLD = "for (const each of document.querySelectorAll('details')) each.open = true"
VIOLATIONS = """axe.run().then(found => found.violations.map(each =>
    [each.id, each.help, each.nodes.slice(0, 5).map(node => node.html.slice(0, 200))]))"""
STATES = {"empty": "No rows yet", "calm": "Calm", "drift": "columns drifted", "wide": "of 300 columns drifted"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def rows_of(frame):
    records = frame.to_dict("records")
    return [{name: None if value != value else value for name, value in record.items()} for record in records]


@pytest.fixture(scope="module")
def addresses(cancer_model, penguins_model, wide_model_300, watching, tools, make):
    """Servers by state, each with the rows that make it so, sent as a caller would."""
    drifted = penguins_model.held.copy()
    drifted.loc[drifted.index[:120], "island"] = "Atlantis"
    drifted.loc[drifted.index[200:400], "sex"] = None
    wide = wide_model_300.held.copy()
    wide[make.NAMES] += 1
    asked = {
        "empty": (cancer_model, None),
        "calm": (cancer_model, cancer_model.held),
        "drift": (penguins_model, drifted),
        "wide": (wide_model_300, wide),
    }
    with ExitStack() as stack:
        found = {}
        for state, (model, frame) in asked.items():
            client = stack.enter_context(tools.client_of(watching(model)))
            found[state] = str(client.base_url)
            if frame is None:
                continue
            answer = client.post("/predict", json={"rows": rows_of(frame)})
            assert answer.status_code == 200, answer.text[:500]
            if state != "calm":
                labels = [
                    {"prediction_id": answer.json()["id"], "row": row, "label": label}
                    for row, label in enumerate(model.truth[:200])
                ]
                assert client.post("/feedback", json=labels).json()["accepted"] == 200
        yield found


def check(browser, address):
    """What must hold of the page however it is looked at."""
    assert browser.complaints() == []
    assert {url for url in browser.requests() if not url.startswith(address)} == set()
    assert browser.evaluate("window.hacked") is None
    assert browser.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0


def keep(browser, name, width):
    """A screenshot, for somebody to look at."""
    folder = os.environ.get("MODELIMG_SCREENSHOTS")
    if folder:
        height = min(4000, browser.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = browser.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        (Path(folder) / f"monitor-{name}.png").write_bytes(base64.b64decode(shot["data"]))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_the_page_fits_its_window_and_shuts_nobody_out(browser, addresses, state, dark):
    address = addresses[state]
    for width, size in ((1280, "desktop"), (360, "phone")):
        browser.open(f"{address}/monitor", width=width, dark=dark)
        keep(browser, f"{state}-{'dark' if dark else 'light'}-{size}", width)
        assert STATES[state] in browser.evaluate("document.querySelector('#verdict h2').textContent")
        browser.evaluate(UNFOLD)
        check(browser, address)
        paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(paper.strip("rgb()").split(",")[0]) < 64) is dark
        if (width == 360) is (state == "wide"):  # once for each, since it takes its time
            browser.evaluate(AXE.read_text())
            assert browser.evaluate(VIOLATIONS) == []


def test_it_is_used_by_keyboard_and_without_a_script(browser, addresses):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(f"{addresses['calm']}/monitor")
        for field, value in (("from", "2020-01-01T00:00"), ("to", "2020-01-02T00:00")):
            browser.evaluate(f"document.getElementById('window-{field}').value = '{value}'")
        browser.events.clear()
        browser.evaluate("document.querySelector('form.span button').click()")
        browser.wait_for_event("Page.loadEventFired")
        assert browser.evaluate("location.search") == "?from=2020-01-01T00%3A00&to=2020-01-02T00%3A00"
        assert browser.evaluate("document.querySelector('#verdict h2').textContent") == "No rows"
        browser.open(f"{addresses['calm']}/monitor")
        for key in range(10):  # past the skip link and the navigation
            for kind in ("rawKeyDown", "keyUp"):
                browser.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", (key, browser.evaluate("document.activeElement.outerHTML"))
        assert browser.evaluate("document.activeElement.textContent") == "Since the start"
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


def test_a_column_that_is_asked_for_is_gone_to(browser, addresses):
    browser.open(f"{addresses['wide']}/monitor")
    href = browser.evaluate("document.querySelector('#drift tbody tr:last-child a').getAttribute('href')")
    browser.open(addresses["wide"] + href)
    top = "document.querySelector('.asked').getBoundingClientRect().top"
    browser.wait_for(f"0 <= {top} && {top} < 100")  # it scrolls there smoothly
    check(browser, addresses["wide"])


@pytest.mark.parametrize("query", ["window=<script>window.hacked=1</script>", "from=x&to=2026-01-01T00:00"])
def test_what_is_no_window_is_a_page_too(browser, addresses, query):
    browser.open(f"{addresses['wide']}/monitor?{query}", width=360)
    # The browser itself notes that a 400 came; nothing else may be noted.
    assert all("400" in complaint for complaint in browser.complaints())
    assert browser.evaluate("window.hacked") is None
    assert browser.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
    browser.evaluate(AXE.read_text())
    assert browser.evaluate(VIOLATIONS) == []
