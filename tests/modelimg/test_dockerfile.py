"""Plan → Dockerfile and build context."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modelimg.dockerfile import render_dockerfile, render_on_parent, render_parent, write_context
from modelimg.errors import RenderError, UsageError
from modelimg.fetch import Fetcher
from modelimg.plan import BuildPlan

LAYERS = ["dependencies.tar", "runtime.tar", "model.tar"]


def with_template(plan: BuildPlan, folder: Path, text: str) -> BuildPlan:
    (folder / "Own.j2").write_text(text)
    return replace(plan, template_path=folder / "Own.j2")


def test_the_dockerfile_adds_layers_and_runs_nothing(plan: BuildPlan) -> None:
    lines = render_dockerfile(plan).splitlines()
    words = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert words == [
        "FROM", "ADD", "ADD", "ADD", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "USER", "ENTRYPOINT", "CMD", "ADD", "LABEL",
    ]  # fmt: skip
    assert lines[:4] == ["FROM scratch", "ADD base.tar /", "ADD dependencies.tar /", "ADD runtime.tar /"]
    assert "USER 65532:65532" in lines
    assert 'CMD ["serve"]' in lines


def test_the_parent_and_what_is_on_it_make_the_whole(plan: BuildPlan) -> None:
    whole = render_dockerfile(plan)
    parent = render_parent(plan)
    rest = render_on_parent(plan, "modelimg/parent:x")
    assert parent + rest.removeprefix("FROM modelimg/parent:x\n") == whole


def test_a_base_that_is_an_image_is_named_and_not_added(plan: BuildPlan) -> None:
    pinned = replace(plan, base=replace(plan.base, reference="python@sha256:" + "0" * 64, tar=None))
    lines = render_dockerfile(pinned).splitlines()
    assert lines[:2] == ["FROM python@sha256:" + "0" * 64, "ADD dependencies.tar /"]


def test_a_context_is_written_whole_and_may_be_written_again(plan: BuildPlan, own: Fetcher, tmp_path: Path) -> None:
    for _ in range(2):
        write_context(plan, own, tmp_path / "out")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"Dockerfile", "base.tar", *LAYERS}
    assert not list(tmp_path.glob(".out.*"))


def test_a_folder_that_is_no_context_is_not_replaced(plan: BuildPlan, own: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="is no rendered context"):
        write_context(plan, own, tmp_path / "out")
    assert (tmp_path / "out/thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("FROM x\n{% if %}", r"Own\.j2:2: "),
        ('{% extends "Absent.j2" %}', r"template Absent\.j2 was not found"),
        ("{{ plan.nothing }}", "nothing"),
        ("{% include '../../../etc/passwd' %}", "not found"),
    ],
)
def test_a_template_with_a_mistake_is_an_error_that_says_where(
    plan: BuildPlan, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(RenderError, match=message):
        render_dockerfile(with_template(plan, tmp_path, text))


def test_a_template_of_the_same_name_extends_ours_and_not_itself(plan: BuildPlan, tmp_path: Path) -> None:
    theirs = tmp_path / "Dockerfile.j2"
    theirs.write_text('{% extends "Dockerfile.j2" %}{% block labels %}LABEL a="b"\n{% endblock %}')
    assert render_dockerfile(replace(plan, template_path=theirs)).endswith('ADD model.tar /\nLABEL a="b"\n')


def test_a_template_may_fill_one_block_and_keep_the_rest(plan: BuildPlan, tmp_path: Path) -> None:
    text = '{% extends "Dockerfile.j2" %}{% block after_layers %}RUN ["x"]\n{% endblock %}'
    ours, theirs = render_dockerfile(plan), render_dockerfile(with_template(plan, tmp_path, text))
    assert theirs.replace('RUN ["x"]\n', "") == ours


@pytest.mark.parametrize("value", ["two\nlines", "x" * 60_001])
def test_a_label_that_no_line_can_hold_is_refused_by_name_and_writes_nothing(
    plan: BuildPlan, own: Fetcher, tmp_path: Path, value: str
) -> None:
    labels = {**plan.run.labels, "org.opencontainers.image.description": value}
    wide = replace(plan, run=replace(plan.run, labels=labels))
    with pytest.raises(RenderError, match=r"org\.opencontainers\.image\.description cannot stand in a Dockerfile"):
        write_context(wide, own, tmp_path / "out")
    assert not (tmp_path / "out").exists()
