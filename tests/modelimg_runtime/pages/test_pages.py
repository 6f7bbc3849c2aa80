"""The pages as a browser gets them: what stands in them, and that nothing in them is anybody else's."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelimg_runtime import contract
from modelimg_runtime.app import create_app
from modelimg_runtime.environment import Settings
from modelimg_runtime.pages.html import Html, element

EVIL = "<script>hacked=1</script>"
NAMES = [EVIL, "\"'><img src=x onerror=hacked=1>", "</style></textarea>", "javascript:hacked=1", "{{name}}"]


class Page(HTMLParser):
    """Elements of a page with their attributes and their own text, and whether each was closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("input", "meta", "link", "br", "hr", "img", "col"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag, **wanted):
        found = [attributes for name, attributes in self.elements if name == tag]
        return [each for each in found if all(each.get(key.rstrip("_")) == value for key, value in wanted.items())]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def page_of(answer, status=200):
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.open == []
    return page


def texts_of(page):
    """What a browser would send of the form as it stands."""
    texts = {
        each["name"]: each["value"] for each in page.all("input") if "name" in each and each.get("type") != "checkbox"
    }
    name = None
    for tag, attributes in page.elements:
        name = attributes["name"] if tag == "select" else name
        if tag == "option" and "selected" in attributes:
            texts[name] = attributes["value"]
    return texts


@pytest.fixture(scope="session")
def evil(tmp_path_factory, tools):
    """Names, labels and texts of somebody who means harm."""
    X = pd.DataFrame({name: [1.0, 2.0, 3.0 + number] for number, name in enumerate(NAMES)})
    within = {name: pa.Column("float64", pa.Check.in_range(0, 99), description=name) for name in NAMES}
    labels = [EVIL, "</script>" + EVIL]
    probabilities = {f"probability_{label}": pa.Column("float64") for label in labels}
    output = pa.DataFrameSchema({"prediction": pa.Column("str"), **probabilities}, strict=True)
    model = LogisticRegression().fit(X.to_numpy(), [labels[0], labels[1], labels[0]])
    made = tools.write_package(
        tmp_path_factory.mktemp("evil") / "model",
        model,
        X,
        pa.DataFrameSchema(within, strict=True),
        output,
        extra={
            contract.PROVENANCE: json.dumps(
                {
                    "code": {"revision": EVIL, "source": "javascript:hacked=1"},
                    "data": {EVIL: {"sha256": EVIL, "uri": "javascript:hacked=1"}},
                    "training": {"command": EVIL},
                }
            ).encode(),
            contract.METRICS: json.dumps({EVIL: {EVIL: 1}}).encode(),
        },
    )

    def spoil(manifest):
        manifest["metadata"] = dict.fromkeys(("description", "authors", "licenses", "url"), EVIL)
        manifest["target"] = EVIL

    tools.edit_manifest(made.folder, spoil)
    return made


@pytest.fixture(scope="session", params=["evil", "mixed", "cancer", "two_outputs"])
def client(request, tools):
    with tools.client_of(request.getfixturevalue(request.param).folder) as client:
        yield client


@pytest.fixture(scope="session")
def evil_client(evil, tools):
    with tools.client_of(evil.folder) as client:
        yield client


def every_page(client):
    form = texts_of(page_of(client.get("/")))
    yield client.get("/")
    yield client.get("/docs")
    yield client.post("/try", data=form)
    yield client.post("/try", data=dict.fromkeys(form, "x"))


def test_a_page_runs_and_loads_nothing_but_its_own(client):
    for answer in every_page(client):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        for tag in ("style", "script"):
            blocks = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
            assert len(blocks) == 1
            digest = base64.b64encode(hashlib.sha256(blocks[0].encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy
        page = Page(answer.text)
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            for name in ("src", "href", "action"):
                address = urlsplit(attributes.get(name) or "")
                assert address.scheme in ("", "data")
                assert address.netloc == ""
        assert page.all("img") == []
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_names_and_labels_are_text_wherever_they_stand(evil_client):
    for answer in every_page(evil_client):
        page = Page(answer.text)
        assert len(page.all("script")) == 1
        assert "hacked=1" not in re.search(r"<script>(.*?)</script>", answer.text, re.DOTALL)[1]
        assert EVIL in page.words
    page = page_of(evil_client.post("/try", data=texts_of(page_of(evil_client.get("/")))))
    assert f"{EVIL} " in page.words[page.words.index("Predict ") :]


def test_the_page_says_what_the_model_is_takes_and_was(client):
    words = page_of(client.get("/")).words
    info = client.get("/info").json()
    assert info["name"] in words
    assert info["version"] in words
    assert info["model"]["estimator"] in words
    assert info["model"]["sha256"] in words
    for name, digest in info["files"].items():
        assert f"{name} {digest}" in words
    for column in client.get("/schema").json()["input"]["columns"]:
        assert " ".join(column["name"].split()) in words


def test_columns_are_explained_in_words(tools, mixed):
    with tools.client_of(mixed.folder) as client:
        words = page_of(client.get("/")).words
    for said in (
        "age whole number int64 0 to 120 no",
        "income number float64 at least 0 yes",
        "city text str 1 to 40 characters yes",
        "size category category S, M, L yes",
        "member true or false bool true, false no",
        "joined date and time datetime64[ns] ISO 8601 yes",
        "visits whole number Int64 at least 0 yes",
    ):
        assert said in words
    assert "accuracy 0.9000" in words
    assert "Code abc" in words


def test_the_form_as_it_stands_gives_what_training_gave(client):
    page = page_of(client.get("/"))
    said = re.search(r"in training, the model said (.*?) (?:Find a column|<|\S)", page.words)
    answer = page_of(client.post("/try", data=texts_of(page)))
    assert said
    assert said[1] in answer.words[answer.words.index(" Predict ") :]
    assert texts_of(answer) == texts_of(page)


def test_every_packed_example_can_fill_the_form(tools, mixed):
    with tools.client_of(mixed.folder) as client:
        expected = json.loads(mixed.files[contract.EXAMPLES])["predictions"]
        for number, prediction in enumerate(expected):
            page = page_of(client.get(f"/?example={number}"))
            assert f"in training, the model said {prediction}" in page.words
            answer = page_of(client.post("/try", data=texts_of(page)))
            assert re.search(rf" Predict prediction {prediction} \w+ ", answer.words)
        for wrong in ("99", "-1", "x", "1" * 50, "²"):
            assert texts_of(page_of(client.get("/", params={"example": wrong}))) == texts_of(page_of(client.get("/")))


def test_the_command_line_that_a_prediction_shows_asks_the_same(tools, mixed):
    with tools.client_of(mixed.folder) as client:
        answer = page_of(client.post("/try", data=texts_of(page_of(client.get("/?example=2")))))
        command = next(each for each in answer.text if each.startswith("curl "))
        assert replay(client, command).json()["predictions"] == [
            json.loads(mixed.files[contract.EXAMPLES])["predictions"][2]
        ]


def replay(client, command):
    """What a shell and curl would make of the command."""
    curl, url, *rest = shlex.split(command)
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    assert curl == "curl"
    assert url.startswith(str(client.base_url))
    if not options:
        return client.get(url)
    kind = options["-H"].removeprefix("Content-Type: ")
    return client.post(url, content=options["--data-binary"].encode(), headers={"content-type": kind})


def test_every_command_line_of_the_documentation_works(client):
    page = page_of(client.get("/docs"))
    commands = [each for each in page.text if each.startswith("curl ")]
    assert len(commands) > 20
    for command in commands:
        answer = replay(client, command)
        assert answer.status_code == 200, (command, answer.text)


def test_the_host_of_the_request_is_quoted_or_not_repeated(client):
    for host, shown in (("model.example:8443", True), ("a$(id)`b`", False), ("x'y", False), ("a<b>", False)):
        answer = client.get("/docs", headers={"host": host})
        commands = [each for each in Page(answer.text).text if each.startswith("curl ")]
        assert all((host in command) is shown for command in commands)
        assert all(shlex.split(command)[1].startswith("http://") for command in commands)


def test_what_breaks_the_contract_is_named_at_its_field(tools, mixed):
    with tools.client_of(mixed.folder) as client:
        texts = texts_of(page_of(client.get("/")))
        wrong = {**texts, "c0": "121", "c1": "-1", "c3": '"XL"', "c4": "", "c5": "2024-02-30T00:00", "c7": ""}
        page = page_of(client.post("/try", data=wrong), 422)
        assert "The contract says no" in page.words
        assert "in_range(0, 120), got 121" in page.words
        invalid = {each["id"] for tag in ("input", "select") for each in page.all(tag, **{"aria-invalid": "true"})}
        assert invalid == {"c0", "c1", "c3", "c4", "c5", "c7"}
        assert {each["href"] for each in page.all("a") if (each["href"] or "").startswith("#c")} >= {"#c0", "#c5"}
        for each in page.all("input", **{"aria-invalid": "true"}):
            assert each["aria-describedby"].split()[-1] == f"{each['id']}-wrong"
        assert {key: text for key, text in texts_of(page).items() if key in ("c0", "c1", "c5")} == {
            "c0": "121",
            "c1": "-1",
            "c5": "2024-02-30T00:00",
        }


def test_an_answer_that_may_not_be_served_is_not_shown(tools, regressor):
    with tools.client_of(regressor.folder) as client:
        page = page_of(client.post("/try", data={"c0": "1e300", "c1": "1"}, headers={"x-request-id": "me-1"}), 500)
    assert "No answer that may be served" in page.words
    assert "Request me-1" in page.words
    assert "e+300" not in page.words[page.words.index(" Predict ") :].partition("The same on the command line")[0]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"c0=1", "application/json", 415),
        (b"c0=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"x=1" for _ in range(50)), "application/x-www-form-urlencoded", 400),
    ],
)
def test_what_is_no_form_is_a_problem(evil_client, body, kind, status):
    answer = evil_client.post("/try", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_who_goes_to_the_form_by_its_address_gets_the_page(evil_client):
    answer = evil_client.get("/try")
    assert (answer.status_code, answer.headers["location"]) == (303, "/#try")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("application/json, */*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html, application/json", "text/html"),
        ("*/*", "text/html"),
    ],
)
def test_programs_get_links_and_people_a_page(evil_client, accept, kind):
    answer = evil_client.get("/", headers={"accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind
    if kind == "application/json":
        links = answer.json()
        assert (links.pop("name"), links.pop("version")) == ("demo", "1.2.3")
        assert {evil_client.get(link).status_code for link in links.values()} == {200}


def test_links_within_the_pages_lead_somewhere(client):
    for path in ("/", "/docs"):
        page = page_of(client.get(path))
        targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
        links = {each["href"] for each in page.all("a")}
        assert {link for link in links if link.startswith("#")} <= {f"#{target}" for target in targets}
        elsewhere = {link for link in links if not link.startswith(("#", "http"))}
        assert {client.get(link).status_code for link in elsewhere} == {200}


def test_people_are_told_that_the_model_is_loading(tmp_path):
    transport = httpx.ASGITransport(create_app(Settings(model_dir=tmp_path), None))

    async def ask():
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            pages = [await client.get("/"), await client.get("/docs"), await client.post("/try", data={"c0": "1"})]
            json = {"accept": "application/json"}
            return pages, [await client.get("/openapi.json"), await client.get("/", headers=json)]

    pages, problems = asyncio.run(ask())
    for answer in pages:
        refresh = page_of(answer, 503).all("meta", **{"http-equiv": "refresh"})
        assert refresh == [{"http-equiv": "refresh", "content": "2"}]
    for answer in problems:
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:modelimg:problem:not-ready"


def test_a_wide_contract_scrolls_within_the_page(tools, tmp_path):
    X = pd.DataFrame({f"column {number}": [1.0, 2.0, 3.0 + number] for number in range(300)})
    schema = pa.DataFrameSchema({name: pa.Column("float64") for name in X}, strict=True)
    output = pa.DataFrameSchema({"prediction": pa.Column("float64")}, strict=True)
    made = tools.write_package(tmp_path / "model", LinearRegression().fit(X, X["column 0"]), X, schema, output)
    with tools.client_of(made.folder) as client:
        page = page_of(client.get("/"))
        assert [each["id"] for each in page.all("div", class_="fields many", tabindex="0")] == ["fields"]
        assert len(page.all("div", class_="scroll tall", tabindex="0")) == 1
        assert len(page.all("input", type="search")) == 1
        assert " Predict prediction 1 " in page_of(client.post("/try", data=texts_of(page))).words


def test_an_element_escapes_what_is_not_html():
    assert element("p", "a < b & c", Html("<br>"), None, 5, [" ", element("b", ">")]) == (
        "<p>a &lt; b &amp; c<br>5 <b>&gt;</b></p>"
    )
    assert element("input", value='"><', class_="x", aria_label="y", hidden=True, id=None, disabled=False) == (
        '<input value="&quot;&gt;&lt;" class="x" aria-label="y" hidden>'
    )
