"""Resolving is uv's work: requirements in, a parsed ``pylock.toml`` out, or one sentence on why not.

uv reports a failed resolution as a proof in English. `diagnose` turns its usual forms into the handful of things that
can be wrong; uv's own words stay in the hint, without paths of this host.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import tomllib
import uv

from modelimg.errors import RequirementsError
from modelimg.oci.values import Platform

GLIBC = (2, 28)
"""The C library that locked wheels may ask for: Debian 10's, older than any base that we make or expect."""

_PREFERENCES = "pylock.locked.toml"
_CONCLUSION = re.compile(r",? we can conclude that .*?(?=\. And because|$)")
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_UNAVAILABLE = {
    "not in the package index": r"Because ([\w.-]+) was not found in the package registry",
    "version not in the package index": r"there (?:is|are) no versions? of ([\w.-]+)",
    "nothing in the package index fits this host": r"([\w.-]+)\S* ha(?:s|ve) no (?:usable )?wheels",
    "not for this Python": r"does not satisfy Python\S+ and ([\w.-]+)",
}
_OLDEST_PROBED, _NEWEST_PROBED = 8, 15


@dataclass(frozen=True)
class Request:
    """What uv is asked to lock.

    Attributes:
        lines: requirements (PEP 508).
        files: requirements files of the user's, read by uv itself with all the options that they may hold.
        python: ``3.11``.
        platform: to lock for; None for this host.
        preferences: distribution → version to keep where nothing speaks against it.
        dependencies: follow them, or lock just the given ones.
        wheels_only: refuse what exists only as source.
        root: folder where uv looks for its configuration.
    """

    lines: tuple[str, ...]
    python: str
    platform: Platform | None
    files: tuple[Path, ...] = ()
    preferences: Mapping[str, str] = field(default_factory=dict)
    dependencies: bool = True
    wheels_only: bool = True
    root: Path = field(default_factory=Path.cwd)


class Unresolved(Exception):  # noqa: N818 - never leaves the room
    """uv found no lock; the text is its explanation."""


def compile_lock(request: Request) -> dict[str, Any]:
    """Run ``uv pip compile`` and parse what it wrote; local paths in it are absolute.

    Raises:
        Unresolved: uv said no.
    """
    with tempfile.TemporaryDirectory(prefix="modelimg-lock-") as name:
        folder = Path(name)
        target = folder / _PREFERENCES
        (folder / "requirements.in").write_text("".join(f"{line}\n" for line in request.lines), encoding="utf-8")
        if request.preferences:
            target.write_text(_preferences(request.preferences), encoding="utf-8")
        command = [*_command(request), "-o", str(target), str(folder / "requirements.in"), *map(str, request.files)]
        done = subprocess.run(
            command, cwd=request.root, env=_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Unresolved(_without_host(done.stderr, folder, request.root))
        lock = tomllib.loads(target.read_text(encoding="utf-8"))
        return absolute_paths(lock, folder)


def lock_or_explain(request: Request, origins: Mapping[str, str]) -> dict[str, Any]:
    """`compile_lock`, with its refusal told in our words.

    Args:
        request: what to lock.
        origins: requirement line → why it is required, for the hint.

    Raises:
        RequirementsError: one sentence for each kind of refusal.
    """
    try:
        return compile_lock(request)
    except Unresolved as error:
        raise diagnose(str(error), request, origins) from error


def diagnose(text: str, request: Request, origins: Mapping[str, str]) -> RequirementsError:
    """The refusal in our words."""
    flat = " ".join(text.split())
    where = f"Python {request.python} on {request.platform or 'this host'}"
    sentence = (
        _network(flat)
        or _unreadable(flat)
        or _index_refuses(flat)
        or _unknown_distribution(flat)
        or _unknown_version(flat)
        or _no_wheel(flat, request, where)
        or _python_too_old(flat, where)
        or _conflict(flat)
        or f"uv found no lock for {where}"
    )
    reasons = [f"{line} is required by {why}" for line, why in origins.items() if line in sentence]
    return RequirementsError(sentence, hint="\n".join([*reasons, "uv says: " + text.strip()]))


def unavailable(text: str) -> tuple[str, str] | None:
    """The distribution that uv's refusal is about, and why no index can give it; None for other refusals."""
    flat = " ".join(text.split())
    for reason, pattern in _UNAVAILABLE.items():
        if found := re.search(pattern, flat):
            return found[1].rstrip("=<>!~"), reason
    return None


def is_network_failure(text: str) -> bool:
    """Whether uv's refusal says that no index answered."""
    return _network(" ".join(text.split())) is not None


def absolute_paths(lock: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The lock with its local paths, which are relative to its folder, made absolute."""
    for package in lock.get("packages", []):
        for source in [*package.get("wheels", []), *(package[key] for key in ("archive", "sdist") if key in package)]:
            if "path" in source:
                source["path"] = str((folder / source["path"]).resolve())
    return lock


def _command(request: Request) -> list[str]:
    command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml"]
    command += ["--python", sys.executable, "--python-version", request.python]
    if request.platform:
        machine = request.platform.machine
        command += ["--python-platform", f"{machine}-manylinux_{GLIBC[0]}_{GLIBC[1]}"]
    if request.wheels_only:
        command += ["--only-binary", ":all:"]
    if not request.dependencies:
        command += ["--no-deps"]
    return command


def _environment() -> dict[str, str]:
    return {**os.environ, "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def _preferences(versions: Mapping[str, str]) -> str:
    """An output file of before: uv keeps the versions in it where it can."""
    packages = [{"name": name, "version": version} for name, version in sorted(versions.items())]
    return tomli_w.dumps({"lock-version": "1.0", "created-by": "modelimg", "packages": packages})


def _without_host(text: str, folder: Path, root: Path) -> str:
    shortened = {f"{folder}/": "", f"{root.resolve()}/": "", str(Path.home()): "~"}
    for path, name in shortened.items():
        text = text.replace(path, name)
    return _CREDENTIALS.sub("://", text)


def _network(flat: str) -> str | None:
    if re.search(
        r"error sending request|Request failed after|network was disabled|dns error|operation timed out", flat
    ):
        host = re.search(r"https?://([^/\s)]+)", flat)
        return f"the package index{f' at {host[1]}' if host else ''} could not be reached"
    return None


def _unreadable(flat: str) -> str | None:
    found = re.search(r"Couldn't parse .*?in `(?:[^`]*/)?([^`/]+)`", flat)
    return f"{found[1]} holds a line that is no requirement" if found else None


def _index_refuses(flat: str) -> str | None:
    found = re.search(r"\((\d{3} [A-Z][\w ]+)\)|returned a (\d{3} [A-Z]\w+)", flat)
    if found and "http" in flat:
        return f"the package index answered {found[1] or found[2]}"
    return None


def _unknown_distribution(flat: str) -> str | None:
    found = re.search(r"([\w.-]+) was not found in the package registry", flat)
    return f"there is no distribution named {found[1]} in the package index" if found else None


def _unknown_version(flat: str) -> str | None:
    found = re.search(r"there (?:is|are) no versions? of ([\w.-]+?)([=<>!~]\S+)", flat)
    return f"the package index has no {found[1]}{found[2].rstrip(',')}" if found else None


def _no_wheel(flat: str, request: Request, where: str) -> str | None:
    found = re.search(r"(?:all versions of )?([\w.-]+?)([=<>!~]\S+)? ha(?:s|ve) no (?:usable )?wheels", flat)
    if not found:
        return None
    what = f"{found[1]}{found[2] or ''}"
    if _has_any_wheel(what, request):
        return f"{what} has no wheel for {where}"
    return f"{what} exists only as source, and modelimg assembles images without compiling anything"


def _has_any_wheel(requirement: str, request: Request) -> bool:
    """Whether a wheel of it exists for some other Python or platform; uv does not tell these cases apart."""
    for minor in range(_OLDEST_PROBED, _NEWEST_PROBED):
        command = [
            uv.find_uv_bin(),
            "pip",
            "compile",
            "-",
            "--quiet",
            "--universal",
            "--no-deps",
            "--only-binary",
            ":all:",
        ]
        command += ["--python", sys.executable, "--python-version", f"3.{minor}"]
        done = subprocess.run(
            command,
            input=requirement,
            cwd=request.root,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return True
    return False


def _python_too_old(flat: str, where: str) -> str | None:
    found = re.search(r"does not satisfy (Python\S+) and (\S+) depends on", flat)
    return f"{found[2]} needs {found[1].rstrip(',')}, and the image has {where}" if found else None


def _conflict(flat: str) -> str | None:
    flat = _CONCLUSION.sub(" and", flat)  # what follows from the claims is no claim
    both = re.search(r"you require ([\w.\[\]-]+[=<>!~]\S*) and ([\w.\[\]-]+[=<>!~]\S*?),? and", flat)
    if both:
        return f"{both[1]} and {both[2]} are both required, and no version is both"
    needs = re.findall(
        r"([\w.-]+(?:\[[\w,-]+\])?[=<>!~]?\S*?) depends on ([\w.-]+)(?:\{[^}]*\})?(\S*?),? (?:and|we)\b", flat
    )
    claims = [(name, f"{who} needs {name}{specifier}") for who, name, specifier in needs]
    claims += [
        (_name(line), f"{line} is required") for line in re.findall(r"you require ([\w.-]+[=<>!~]\S*?),? ", flat)
    ]
    pair = _disagreeing(claims)
    return f"{pair[0]}, but {pair[1]}" if pair else None


def _disagreeing(claims: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The first two claims on one distribution that several make claims on, a dependency's claim first."""
    for name in dict.fromkeys(name for name, _ in claims):
        texts = list(dict.fromkeys(text for other, text in claims if other == name))
        if len(texts) > 1 and " needs " in texts[0]:
            return texts[0], texts[1]
    return None


def _name(requirement: str) -> str:
    return re.split(r"[=<>!~\[ ]", requirement, maxsplit=1)[0]
