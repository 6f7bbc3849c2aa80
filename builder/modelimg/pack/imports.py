"""Which modules the self-test and the server import, found by letting them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from modelimg.errors import PackError
from modelimg_runtime import contract

_SECONDS = 600


def imported_modules(folder: Path) -> str:
    """Names of the modules that serving a package imports here, one a line, sorted.

    Args:
        folder: a whole package, but for this list. Whether its examples come out right is for the gate to say.

    Raises:
        PackError: the process that serves it cannot be started, or ends before its time.
    """
    code = folder.resolve() / contract.CODE_DIR
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",  # the user's code is in the package, and so would its byte code be
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "modelimg_runtime.imports", str(folder.resolve())],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(f"it did not answer within {_SECONDS} seconds") from error
    except OSError as error:
        raise _failed(f"{sys.executable}: {error.strerror}") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise _failed(f"exit code {done.returncode} ({last[0]})")
    return done.stdout


def _failed(reason: str) -> PackError:
    return PackError(
        f"the packed model could not be served in a process of its own, to see what that imports: {reason}",
        hint="loading the model must work in a fresh Python of this environment; try `modelimg_runtime selftest` on it",
    )
