"""Resolving with the real uv against PyPI: what is locked, and one sentence for each way to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelimg.errors import RequirementsError
from modelimg.oci.values import Platform
from modelimg.pack.uv import Request, Unresolved, compile_lock, diagnose, lock_or_explain, unavailable

AMD64 = Platform.parse("linux/amd64")


def request(*lines, python="3.11", platform=AMD64, **options):
    return Request(lines, python, platform, root=Path(__file__).parent, **options)


def versions(lock):
    return {package["name"]: package["version"] for package in lock["packages"]}


def test_preferred_versions_are_kept_where_nothing_speaks_against_them():
    lock = compile_lock(
        request("starlette>=0.45", "anyio!=4.5.0", preferences={"starlette": "0.46.0", "anyio": "4.5.0"})
    )
    assert versions(lock)["starlette"] == "0.46.0"
    assert versions(lock)["anyio"] != "4.5.0"


def test_a_pinned_version_wins_over_a_preferred_one():
    assert versions(compile_lock(request("idna==3.7", preferences={"idna": "3.6"})))["idna"] == "3.7"


def test_each_platform_has_its_own_wheels():
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        lock = compile_lock(request("httptools==0.6.4", platform=Platform.parse(platform)))
        assert all(machine in wheel["url"] for wheel in lock["packages"][0]["wheels"])


def test_a_local_wheel_has_an_absolute_path(tiny_wheel):
    lock = compile_lock(request(f"tiny @ {tiny_wheel.as_uri()}"))
    assert lock["packages"][0]["archive"]["path"] == str(tiny_wheel)


REFUSALS = {
    "conflict with a dependency": (
        request("starlette==1.0.0", "typing-extensions==3.10.0.0", python="3.11"),
        r"starlette==1\.0\.0 needs typing-extensions>=[\d.]+, but typing-extensions==3\.10\.0\.0 is required",
    ),
    "conflict of versions": (
        request("scipy==1.11.1", "numpy==2.0.0"),
        r"scipy==1\.11\.1 needs numpy>=[\d.]+,<[\d.]+, but numpy==2\.0\.0 is required",
    ),
    "contradiction": (
        request("pandas==2.0.0", "pandas>=2.1.1"),
        r"pandas==2\.0\.0 and pandas>=2\.1\.1 are both required",
    ),
    "no such distribution": (
        request("modelimg-no-such-distribution-at-all"),
        r"no distribution named modelimg-no-such-distribution-at-all in the package index",
    ),
    "no such version": (request("numpy==99.0"), r"the package index has no numpy==99\.0"),
    "source only": (request("docopt==0.6.2"), r"docopt==0\.6\.2 exists only as source"),
    "source only, any version": (request("docopt"), r"docopt exists only as source"),
    "no wheel for the platform": (
        request("pywin32==306"),
        r"pywin32==306 has no wheel for Python 3\.11 on linux/amd64",
    ),
    "no wheel for the python": (
        request("scipy==1.11.1", python="3.14", platform=Platform.parse("linux/arm64")),
        r"scipy==1\.11\.1 (has no wheel for Python 3\.14 on linux/arm64|needs Python)",
    ),
    "no requirement": (request("numpy >="), r"requirements\.in holds a line that is no requirement"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_has_a_sentence_of_its_own(name):
    asked, says = REFUSALS[name]
    with pytest.raises(RequirementsError, match=says) as error:
        lock_or_explain(asked, dict.fromkeys(asked.lines, "the test"))
    hint = str(error.value.hint)
    assert "uv says: error:" in hint
    assert "modelimg-lock-" not in hint.replace("modelimg-lock-\n", "")
    assert str(Path.home()) not in hint


def test_the_hint_tells_why_the_disagreeing_packages_are_required():
    asked, _ = REFUSALS["conflict of versions"]
    origins = {"scipy==1.11.1": "the model", "numpy==2.0.0": "the user"}
    with pytest.raises(RequirementsError) as error:
        lock_or_explain(asked, origins)
    assert str(error.value.hint).startswith(
        "scipy==1.11.1 is required by the model\nnumpy==2.0.0 is required by the user\n"
    )


def test_an_index_that_does_not_answer_is_told_without_its_credentials(monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(RequirementsError, match=r"the package index at .*127\.0\.0\.1:9 could not be reached") as error:
        lock_or_explain(request("modelimg-no-such-distribution-at-all"), {})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "says"), [(401, "401 Unauthorized"), (403, "403 Forbidden"), (500, "500 Internal Server Error")]
)
def test_an_index_that_refuses_is_told_by_its_answer(monkeypatch, loopback, answer, status, says):
    loopback.answer("/simple/modelimg-private-thing/", answer(status))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{loopback.url}/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(RequirementsError, match=f"the package index answered {says}"):
        lock_or_explain(request("modelimg-private-thing"), {})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("docopt==0.6.2", ("docopt", "nothing in the package index fits this host")),
        ("numpy==99", ("numpy", "version not in the package index")),
        (
            "modelimg-no-such-distribution-at-all==1",
            ("modelimg-no-such-distribution-at-all", "not in the package index"),
        ),
    ],
)
def test_what_no_index_can_give_is_told_from_the_refusal(line, expected):
    with pytest.raises(Unresolved) as error:
        compile_lock(request(line))
    assert unavailable(str(error.value)) == expected


def test_a_refusal_that_nobody_foresaw_is_passed_on_in_uvs_words():
    error = diagnose("error: the moon is in the wrong phase", request("numpy"), {})
    assert error.message == "uv found no lock for Python 3.11 on linux/amd64"
    assert "wrong phase" in str(error.hint)
