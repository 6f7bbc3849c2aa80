"""A Dockerfile's instructions without a daemon."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.dockerfile import render_dockerfile
from modelimg.errors import RenderError
from modelimg.instructions import apply, parse
from modelimg.labels import quote
from modelimg.oci.image import HealthCheck, RunConfig
from modelimg.plan import make_plan

LAYERS = ["base.tar", "model.tar"]
HEAD = "FROM scratch\nADD base.tar /\nADD model.tar /\n"


def run_of(text: str, base: RunConfig | None = None) -> RunConfig:
    return apply(parse(HEAD + text), "scratch", LAYERS, base or RunConfig())


def test_our_own_template_gives_the_run_config_of_the_plan(write_package, base) -> None:
    plan = make_plan(write_package(), base, created="2026-01-02T03:04:05Z")
    names = ["base.tar", *(f"{layer.name}.tar" for layer in plan.layers)]
    got = apply(parse(render_dockerfile(plan)), "scratch", names, base.run)
    assert got == plan.run


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ('ENV A=1 B=\'two words\' C="a \\"quoted\\" \\$x"', {"env": ("A=1", "B=two words", 'C=a "quoted" $x')}),
        ("LABEL b=2 \\\n  # a comment\n  a=1", {"labels": {"a": "1", "b": "2"}}),
        ("EXPOSE 80 53/udp", {"exposed_ports": ("53/udp", "80/tcp")}),
        ('VOLUME ["/data"]', {"volumes": ("/data",)}),
        ("VOLUME /one /two", {"volumes": ("/one", "/two")}),
        ("USER 65532:65532", {"user": "65532:65532"}),
        ("STOPSIGNAL SIGINT", {"stop_signal": "SIGINT"}),
        ('CMD ["serve"]\nENTRYPOINT ["/bin/p"]', {"entrypoint": ("/bin/p",), "cmd": ()}),
        ('entrypoint ["/bin/p"]\ncmd ["a", "b"]', {"entrypoint": ("/bin/p",), "cmd": ("a", "b")}),
        (
            'HEALTHCHECK --interval=3s --retries=2 CMD ["/bin/p", "health"]',
            {"health": HealthCheck(("/bin/p", "health"), 3, 0, 0, 2)},
        ),
        ("HEALTHCHECK NONE", {}),
        ("ENV A=a\\ b", {"env": ("A=a b",)}),
    ],
)
def test_what_says_how_a_container_runs_is_applied(text: str, changed: dict) -> None:
    assert run_of(text) == replace(RunConfig(), **changed)


def test_a_later_instruction_wins_over_the_base() -> None:
    base = RunConfig(env=("A=0", "B=1"), labels={"x": "0"})
    assert run_of("ENV A=2\nLABEL x=1", base) == RunConfig(env=("A=2", "B=1"), labels={"x": "1"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUN pip install x", r"line 4 of the rendered Dockerfile, RUN pip install x: it takes a Docker daemon"),
        ("run true", "RUN true"),
        ("COPY . /", "COPY"),
        ("ADD https://example.com/x /x", "next comes no further layer"),
        ("ADD model.tar /", "no further layer"),
        ("WORKDIR /srv", "WORKDIR"),
        ('SHELL ["/bin/sh"]', "SHELL"),
        ("ARG X=1", "ARG"),
        ("ONBUILD RUN true", "ONBUILD"),
        ("FROM other", "stands on one base"),
        ("CMD serve", "exec form"),
        ("ENTRYPOINT [1]", "exec form"),
        ("ENTRYPOINT {}", "exec form"),
        ("ENV A=$B", "variables take a Docker daemon"),
        ('ENV A="x${B}"', "variables take a Docker daemon"),
        ("ENV A 1", "is no key=value"),
        ("LABEL =1", "is no key=value"),
        ('LABEL a="open', "is no plain word"),
        ("USER a b", "one word"),
        ('HEALTHCHECK --interval=1m CMD ["x"]', "whole seconds"),
        ('HEALTHCHECK --every=1s CMD ["x"]', "no option"),
        ("HEALTHCHECK", "neither NONE nor CMD"),
        ("HEALTHCHECK CMD true", "exec form"),
        ("<<EOF", "takes a Docker daemon"),
    ],
)
def test_what_takes_a_daemon_or_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(RenderError, match=message) as caught:
        run_of(text)
    assert "--engine docker" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "FROM other\nADD base.tar /\nADD model.tar /",
        "FROM scratch AS x\nADD base.tar /\nADD model.tar /",
        "FROM scratch\nADD base.tar /",
        "FROM scratch\nADD model.tar /\nADD base.tar /",
        "FROM scratch\nADD base.tar /srv\nADD model.tar /",
        "ADD base.tar /\nADD model.tar /",
        "USER x\nFROM scratch\nADD base.tar /\nADD model.tar /",
    ],
)
def test_layers_and_base_have_to_be_those_of_the_plan(text: str) -> None:
    with pytest.raises(RenderError):
        apply(parse(text), "scratch", LAYERS, RunConfig())


printable = st.text(
    st.characters(blacklist_characters="\r\n\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", codec="utf-8"), max_size=60
)


@given(value=printable)
def test_any_label_that_is_quoted_comes_back(value: str) -> None:
    assert run_of(f"LABEL key={quote(value)}").labels == {"key": value}
