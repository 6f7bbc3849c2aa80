"""A Dockerfile without a builder: the instructions that only say how a container runs, applied to a run config.

This is what lets the embedded engine take a template of the user's own. Whatever would run a program, read the build
context or depend on a variable is refused by name.

Source: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from modelimg.errors import RenderError
from modelimg.oci.image import HealthCheck, RunConfig

_CONTINUED = re.compile(r"\\[ \t]*$")
_WORD = re.compile(r"""(?:[^\s"'\\$]|\\.|"(?:[^"\\$]|\\.)*"|'[^']*')+""")
_DURATION = re.compile(r"([0-9]+)s")
_TIMES = {"interval": "interval", "timeout": "timeout", "start-period": "start_period"}


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile.

    Attributes:
        line: where it begins, from 1.
        keyword: in capitals.
        text: what follows it, lines joined.
    """

    line: int
    keyword: str
    text: str


def parse(dockerfile: str) -> list[Instruction]:
    """Split a Dockerfile into instructions; comments and empty lines are dropped, inside an instruction too."""
    found: list[Instruction] = []
    begun: Instruction | None = None
    for number, raw in enumerate(dockerfile.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        goes_on = _CONTINUED.search(raw) is not None
        content = _CONTINUED.sub("", raw).strip()
        if begun is None:
            keyword, _, text = content.partition(" ")
            begun = Instruction(number, keyword.upper(), text.strip())
        else:
            begun = replace(begun, text=f"{begun.text} {content}".strip())
        if not goes_on:
            found.append(begun)
            begun = None
    return [*found, begun] if begun else found


def apply(instructions: Sequence[Instruction], base: str, layers: Sequence[str], run: RunConfig) -> RunConfig:
    """The run config that an image made from these instructions has.

    Args:
        instructions: of the whole Dockerfile.
        base: what its FROM has to say.
        layers: names of the tars that it has to add to ``/``, each once, in this order.
        run: of the base.

    Raises:
        RenderError: an instruction that takes a Docker daemon, or one that cannot be meant; the message says which.
    """
    missing = list(layers)
    for number, one in enumerate(instructions):
        if (one.keyword == "FROM") != (number == 0) or (number == 0 and one.text != base):
            raise _refused(one, f"the image stands on one base, {base}, which the first instruction names")
        if one.keyword == "ADD":
            if not missing or one.text.split() != [missing[0], "/"]:
                expected = f"ADD {missing[0]} /" if missing else "no further layer"
                raise _refused(one, f"the layers are added in their order, and next comes {expected}")
            missing.pop(0)
        elif one.keyword != "FROM":
            run = _apply(one, run)
    if missing or not instructions:
        raise RenderError(f"the template does not add {missing[0] if missing else 'anything'}")
    return run


def _apply(one: Instruction, run: RunConfig) -> RunConfig:
    match one.keyword:
        case "ENV":
            env = dict(item.partition("=")[::2] for item in run.env) | dict(_pairs(one))
            return replace(run, env=tuple(f"{key}={value}" for key, value in env.items()))
        case "LABEL":
            return replace(run, labels=dict(sorted({**run.labels, **dict(_pairs(one))}.items())))
        case "EXPOSE":
            ports = {port if "/" in port else f"{port}/tcp" for port in _words(one)}
            return replace(run, exposed_ports=tuple(sorted({*run.exposed_ports, *ports})))
        case "VOLUME":
            volumes = _exec_form(one) if one.text.startswith("[") else tuple(_words(one))
            return replace(run, volumes=tuple(sorted({*run.volumes, *volumes})))
        case "USER":
            return replace(run, user=_word(one))
        case "STOPSIGNAL":
            return replace(run, stop_signal=_word(one))
        case "ENTRYPOINT":
            return replace(run, entrypoint=_exec_form(one), cmd=())
        case "CMD":
            return replace(run, cmd=_exec_form(one))
        case "HEALTHCHECK":
            return replace(run, health=_health(one))
    raise _refused(one, "it takes a Docker daemon")


def _health(one: Instruction) -> HealthCheck | None:
    options, separator, command = one.text.partition("CMD")
    if one.text == "NONE":
        return None
    if not separator:
        raise _refused(one, "it says neither NONE nor CMD")
    values: dict[str, int] = {}
    for option in options.split():
        name, _, value = option.removeprefix("--").partition("=")
        seconds = _DURATION.fullmatch(value)
        if name == "retries" and value.isdigit():
            values["retries"] = int(value)
        elif name in _TIMES and seconds:
            values[_TIMES[name]] = int(seconds[1])
        else:
            raise _refused(one, f"{option} is no option in whole seconds")
    defaults = {"interval": 0, "timeout": 0, "start_period": 0, "retries": 0}
    return HealthCheck(_exec_form(replace(one, text=command.strip())), **{**defaults, **values})


def _exec_form(one: Instruction) -> tuple[str, ...]:
    try:
        words = json.loads(one.text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _refused(one, 'without a shell it has to be in exec form, ["program", "argument"]')
    return tuple(words)


def _pairs(one: Instruction) -> Iterator[tuple[str, str]]:
    for word in _words(one):
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise _refused(one, f"{word!r} is no key=value")
        yield key, value


def _word(one: Instruction) -> str:
    words = _words(one)
    if len(words) != 1:
        raise _refused(one, "it takes one word")
    return words[0]


def _words(one: Instruction) -> list[str]:
    """The words of an instruction, without their quotes and escapes; a variable is refused."""
    words, position = [], 0
    while position < len(one.text):
        found = _WORD.match(one.text, position)
        if found is None:
            raise _refused(one, f"{one.text[position:][:30]!r} is no plain word: variables take a Docker daemon")
        words.append(_unquoted(found[0]))
        position = found.end()
        rest = one.text[position:]
        if rest and not rest[0].isspace():
            raise _refused(one, f"{rest[:30]!r} is no plain word: variables take a Docker daemon")
        position += len(rest) - len(rest.lstrip())
    return words


def _unquoted(word: str) -> str:
    out, quote, position = [], "", 0
    while position < len(word):
        char = word[position]
        following = word[position + 1 : position + 2]
        if char == "\\" and quote != "'" and (not quote or following in ('"', "\\", "$")):
            out.append(following)
            position += 1
        elif char in "\"'" and quote in ("", char):
            quote = "" if quote else char
        else:
            out.append(char)
        position += 1
    return "".join(out)


def _refused(one: Instruction, why: str) -> RenderError:
    shown = one.text if len(one.text) <= 60 else one.text[:59] + "…"
    return RenderError(
        f"line {one.line} of the rendered Dockerfile, {one.keyword} {shown}: {why}",
        hint="build it with --engine docker, or take the instruction out of the template",
    )
