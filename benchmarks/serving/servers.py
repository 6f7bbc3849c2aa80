"""What can be asked of a server of models, and those that need no tool: ours, a constant answer, FastAPI by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import modelimg_runtime
from benchmarks.measure import OURS
from benchmarks.serving.subjects import Subject

PEERS = Path(__file__).parent.parent / "peers"
SLOW_PATH, FLOOR = f"{OURS}, fast path off", "constant answer"
PYDANTIC, PANDERA = "FastAPI, pydantic", "FastAPI, pandera"
UVICORN = "uvicorn[standard]"
"""With uvloop and httptools. Some tools come without them; they are given both, so that it makes no difference."""


@dataclass(frozen=True)
class Place:
    """Where a server runs.

    Attributes:
        subject: the model that it serves.
        python: of its virtual environment.
        folder: of its own, for this model.
    """

    subject: Subject
    python: Path
    folder: Path

    def program(self, name: str) -> Path:
        """A command of the virtual environment."""
        return self.python.with_name(name)


class Server(ABC):
    """A way to serve a model, in one worker.

    Attributes:
        key: what options know it by.
        name: how reports call it.
        requirements: what its virtual environment holds beside `pins`.
        pins: the model's own packages in the versions that it was trained with; all of its lock where it is ours.
        distribution: whose version reports show, if any.
        path: of the route.
        constant: it does not predict, so its answers are not compared.
    """

    key: str
    name: str
    requirements: Sequence[str]
    distribution: str | None = None
    path = "/predict"
    constant = False

    def __init__(self, pins: Sequence[str]) -> None:
        self.pins = pins

    @abstractmethod
    def command(self, place: Place, port: int) -> list[str | Path]:
        """What starts it on a port of the loopback."""

    def prepare(self, place: Place) -> None:  # noqa: B027 - most need nothing
        """Give it the model in its own format, in its folder. Not timed."""

    def environment(self, place: Place, port: int) -> dict[str, str]:  # noqa: ARG002 - for those who read the port there
        """What it sees beside the environment of this process."""
        subject = place.subject
        files = {"MODEL": subject.model, "CONTRACT": subject.contract, "ROWS": subject.rows}
        return {f"BENCH_{name}": str(path) for name, path in files.items()}

    def payload(self, rows: list[dict[str, Any]]) -> Any:
        """Rows → the JSON body of a request."""
        return {"rows": rows}

    def predictions(self, answer: Any) -> Any:
        """The JSON body of an answer → a list of predictions."""
        return answer["predictions"]


class Modelimg(Server):
    """The command of our images: the lock's packages, the runtime as it is in this tree."""

    key, name, requirements = "modelimg", OURS, ()

    def command(self, place: Place, port: int) -> list[str | Path]:  # noqa: ARG002 - it is in the environment
        """See `Server`."""
        return [place.python, "-m", "modelimg_runtime", "serve"]

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        return {
            "MODELIMG_MODEL_DIR": str(place.subject.package),
            "MODELIMG_HOST": "127.0.0.1",
            "PORT": str(port),
            "PYTHONPATH": str(Path(modelimg_runtime.__file__).parents[1]),
        }


class SlowPath(Modelimg):
    """The same where pandera validates and scikit-learn predicts, always."""

    key, name = "slow-path", SLOW_PATH

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        return {**super().environment(place, port), "MODELIMG_FAST_PATH": "off"}


class Application(Server):
    """An ASGI application of `PEERS`, run by uvicorn."""

    folder: str

    def command(self, place: Place, port: int) -> list[str | Path]:
        """See `Server`."""
        quiet = ["--no-access-log", "--log-level", "warning"]
        return [place.program("uvicorn"), "app:app", "--app-dir", PEERS / self.folder, "--port", str(port), *quiet]


class Constant(Application):
    """The floor: the same uvicorn, uvloop and httptools as ours, and the same virtual environment."""

    key, name, folder, requirements, constant = "constant", FLOOR, "constant", (), True


class Pydantic(Application):
    """By hand, with a pydantic model of the row."""

    key, name, folder, distribution = "fastapi-pydantic", PYDANTIC, "fastapi_pydantic", "fastapi"
    requirements = ("fastapi>=0.120,<1", UVICORN)


class Pandera(Application):
    """By hand, with a pandera schema."""

    key, name, folder, distribution = "fastapi-pandera", PANDERA, "fastapi_pandera", "pandera"
    requirements = ("fastapi>=0.120,<1", UVICORN, "pandera[pandas]>=0.32")
