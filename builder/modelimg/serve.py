"""Serving a model package without a container: the image's own runtime, on this host."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import modelimg_runtime
from modelimg.pack.package import read_package
from modelimg_runtime import contract


def serve_package(package: Path, host: str, port: int) -> NoReturn:
    """Become the server of a package: this process is replaced, so that signals and exit codes are the server's.

    Raises:
        PackageError: it is no sound model package.
    """
    folder = read_package(package).path.absolute()
    paths = [str(Path(modelimg_runtime.__file__).parents[1]), str(folder / contract.CODE_DIR)]
    environment = {
        **os.environ,
        contract.ENV_MODEL_DIR: str(folder),
        contract.ENV_HOST: host,
        contract.ENV_PORT: str(port),
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "modelimg_runtime", "serve"], environment)  # noqa: S606 - our own
