"""``provenance.json``: the code, the data and the environment that made the model, and nothing of the host."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

from modelimg.pack.data import Split
from modelimg.pack.vcs import CodeState

_CREDENTIALS = re.compile(r"([a-z+]+://)[^/@\s]+@")


def provenance(code: CodeState, splits: Mapping[str, Split], command: str | None) -> dict[str, Any]:
    """The record, as plain data.

    Args:
        code: the training code.
        splits: the data.
        command: how the training was run; None where that is unknown.
    """
    return {
        "code": code.to_dict(),
        "data": {name: _known(asdict(split.facts)) for name, split in splits.items()},
        "training": _known(
            {
                "command": command,
                "python": platform.python_version(),
                "implementation": platform.python_implementation(),
                "platform": _known(
                    {"system": platform.system(), "machine": platform.machine(), "libc": " ".join(platform.libc_ver())}
                ),
            }
        ),
    }


def training_folder(arguments: Sequence[str] | None = None) -> Path:
    """Folder of the running script, else the working directory."""
    script = _script(sys.argv if arguments is None else arguments)
    return script.resolve().parent if script else Path.cwd()


def running_command(root: Path | None, arguments: Sequence[str] | None = None) -> str | None:
    """How the running script was called, with paths relative to the repository; None in an interactive session.

    Args:
        root: of the repository, else the working directory.
        arguments: script and arguments; by default this process's.
    """
    words = list(sys.argv if arguments is None else arguments)
    script = _script(words)
    if script is None:
        return None
    return shlex.join(
        ["python", *(_portable(word, root or Path.cwd()) for word in [str(script.resolve()), *words[1:]])]
    )


def _script(arguments: Sequence[str]) -> Path | None:
    script = Path(arguments[0]) if arguments and arguments[0] else None
    return script if script is not None and script.suffix == ".py" and script.is_file() else None


def _portable(word: str, root: Path) -> str:
    """An argument without folders of this host and without credentials; ``--out=/home/me/x`` becomes ``--out=x``."""
    option, equals, value = word.partition("=")
    if equals and value.startswith(("/", "~")):
        return f"{option}={_portable(value, root)}"
    if word.startswith(("/", "~")):
        path = Path(word).expanduser()
        inside = path.is_relative_to(root.resolve())
        return path.relative_to(root.resolve()).as_posix() if inside else PurePath(word).name
    return _CREDENTIALS.sub(r"\1", word)


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value not in (None, "", {})}
