"""Which code trained the model: the git revision, and what was changed since."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelimg.oci.values import Digest

_CREDENTIALS = re.compile(r"^([a-z+]+://)[^/@]+@")
_REVISION_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA", "BITBUCKET_COMMIT", "GIT_COMMIT")


@dataclass(frozen=True)
class CodeState:
    """The training code, as it stands in ``provenance.json`` under ``code``.

    Attributes:
        revision: full commit id.
        source: address of the repository, without credentials.
        dirty: files differ from the revision, or are not in it; None where that is unknown.
        committed: time of the commit, ISO 8601.
        untracked: files that are not in the repository, relative to its root.
        patch: what turns the revision into the code that ran; empty where nothing differs.
        root: the work tree on this host; no part of the record.
    """

    revision: str | None = None
    source: str | None = None
    dirty: bool | None = None
    committed: str | None = None
    untracked: tuple[str, ...] = ()
    patch: bytes = b""
    root: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data of what is known."""
        facts = asdict(self)
        patch = facts.pop("patch")
        del facts["root"]
        facts["patch_sha256"] = Digest.of(patch).hex if patch else None
        facts["untracked"] = list(self.untracked)
        return {key: value for key, value in facts.items() if value not in (None, [])}


def code_state(folder: Path, *, without: Path, environ: Mapping[str, str] = os.environ) -> CodeState:
    """The state of the repository that a folder is in, else what the CI system says of it.

    Args:
        folder: where the training code is.
        without: the model package, which is no part of the code even where it lies in the work tree.
        environ: variables of CI systems.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    revision = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if top is None or revision is None:
        return _from_environment(environ)
    root = Path(top.decode().strip())
    paths = ["--", ".", *_exclusion(root, without)]
    patch = _git(root, "diff", "--binary", "--no-ext-diff", "--no-color", "--no-textconv", "HEAD", *paths) or b""
    others = _git(root, "ls-files", "--others", "--exclude-standard", "-z", *paths) or b""
    untracked = tuple(sorted(name.decode("utf-8", "replace") for name in others.split(b"\0") if name))
    remote = _git(root, "remote", "get-url", "origin")
    committed = _git(root, "show", "--no-patch", "--format=%cI", "HEAD")
    return CodeState(
        revision=revision.decode().strip(),
        source=_public(remote.decode().strip()) if remote else _from_environment(environ).source,
        dirty=bool(patch or untracked),
        committed=committed.decode().strip() if committed else None,
        untracked=untracked,
        patch=patch,
        root=root,
    )


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints, or None where there is no git, no repository or no such thing."""
    if shutil.which("git") is None or not folder.is_dir():
        return None
    command = ["git", "-c", "core.quotePath=false", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _exclusion(root: Path, without: Path) -> list[str]:
    out = without.resolve()
    if root.resolve() not in out.parents:
        return []
    relative = out.relative_to(root.resolve()).as_posix()
    # The folder that is being written stands beside it under a name of its own.
    return [f":(exclude){relative}", f":(exclude,glob){'/'.join([*relative.split('/')[:-1], f'.{out.name}.*.tmp/**'])}"]


def _from_environment(environ: Mapping[str, str]) -> CodeState:
    revision = next((environ[name] for name in _REVISION_VARIABLES if environ.get(name)), None)
    source = environ.get("CI_PROJECT_URL") or environ.get("BITBUCKET_GIT_HTTP_ORIGIN")
    if environ.get("GITHUB_REPOSITORY"):
        source = f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{environ['GITHUB_REPOSITORY']}"
    return CodeState(revision=revision, source=_public(source) if source else None)


def _public(url: str) -> str | None:
    """The address without credentials; a path of this host tells nobody else anything."""
    if url.startswith(("/", ".", "file:", "~")):
        return None
    return _CREDENTIALS.sub(r"\1", url)
