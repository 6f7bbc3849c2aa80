"""``python -m modelimg_runtime.imports PACKAGE``: the names of all modules that serving a package imports.

`pack` runs it in the training environment, in a process of its own, and keeps the list in the package: byte code is
made of these modules, so that it is the same on every host that builds, and stays when the model is trained again.
The package is served on loopback for a prediction, a refusal and the pages, because much is imported only then.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from modelimg_runtime import contract
from modelimg_runtime.environment import Settings
from modelimg_runtime.health import is_ready
from modelimg_runtime.package import open_package
from modelimg_runtime.selftest import example_columns

_SECONDS = 30.0
"""For one prediction; loading the model may take as long as it takes."""


def main() -> None:
    """Print the names, one a line; what the model's own code prints goes to standard error."""
    folder = Path(sys.argv[1])
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        for fast_path in (True, False):  # the one passes by much that the other needs
            _serve_once(folder, fast_path=fast_path)
        _import_commands(folder)
        out.writelines(f"{name}\n" for name in source_modules(without=folder))


def source_modules(*, without: Path) -> list[str]:
    """Sorted names of the imported modules that have Python source, but for those below a folder.

    Args:
        without: the package, whose own code changes with every training. The builder's modules are left out, too.
    """
    script = sys.modules["__main__"]  # multiprocessing gives it a second name
    modules = [module for module in list(sys.modules.values()) if module is not script]
    specs = [getattr(module, "__dict__", {}).get("__spec__") for module in modules]
    return sorted({spec.name for spec in specs if isinstance(spec, ModuleSpec) and _is_wanted(spec, without)})


def _is_wanted(spec: ModuleSpec, without: Path) -> bool:
    origin = spec.origin or ""
    named = all(part.isidentifier() for part in spec.name.split("."))
    return (
        named
        and origin.endswith(".py")
        and spec.name.partition(".")[0] != "modelimg"
        and not Path(origin).is_relative_to(without)
    )


def _serve_once(folder: Path, *, fast_path: bool) -> None:
    """Start the server, ask it for the predictions of the examples, and stop it; a refused package is stopped at."""
    from modelimg_runtime.serve import make_server, set_process_defaults

    set_process_defaults()
    refused = threading.Event()
    server = make_server(Settings(model_dir=folder, fast_path=fast_path), lambda _error: refused.set())

    def ask(port: int) -> None:
        while not (refused.is_set() or is_ready(port)):
            time.sleep(0.02)
        if not refused.is_set():
            _predict(folder, port)
        server.should_exit = True

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=ask, args=(listener.getsockname()[1],), daemon=True).start()
        server.run(sockets=[listener])


def _predict(folder: Path, port: int) -> None:
    """Ask for the predictions of the examples, and send what is no input, because its refusal needs more modules."""
    examples = contract.Examples.from_json(open_package(folder).read(contract.EXAMPLES))
    for columns in (example_columns(examples), {}):
        _ask("POST /predict", "application/json", json.dumps({"columns": columns}).encode(), port)
    for page in ("/", "/docs", "/metrics", "/monitor", "/monitor.json"):
        _ask(f"GET {page}", "text/plain", b"", port)
    _ask("POST /try", "application/x-www-form-urlencoded", b"", port)
    _ask("POST /feedback", "application/json", b'{"label": null}', port)


def _ask(line: str, kind: str, body: bytes, port: int) -> None:
    head = f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)
        while connection.recv(1 << 16):
            pass


def _import_commands(folder: Path) -> None:
    """What the entry point itself is, several workers, what the self-test imports to compare versions, and scoring."""
    import modelimg_runtime.__main__
    import modelimg_runtime.score.command
    import modelimg_runtime.score.frame
    import modelimg_runtime.workers
    from modelimg_runtime.selftest import version_differences

    version_differences(folder)
    if open_package(folder).manifest.image.parquet and find_spec("pyarrow"):
        import pyarrow.parquet  # noqa: F401

        import modelimg_runtime.score.arrow  # noqa: F401


if __name__ == "__main__":
    main()
