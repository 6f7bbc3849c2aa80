"""Tools of PyPI that serve models, each as its documentation says, told to log nothing of each request."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.contenders.base import timed
from benchmarks.ports import free_port
from benchmarks.serving.servers import PEERS, UVICORN, Application, Place, Server

_DATATYPES = {float: "FP64", int: "INT64", str: "BYTES"}


class MLflow(Server):
    """``mlflow models serve`` with one worker."""

    key, name, distribution, path = "mlflow", "MLflow", "mlflow", "/invocations"
    requirements = ("mlflow>=3.17,<4", UVICORN)

    def prepare(self, place: Place) -> None:
        """See `Server`."""
        requirements, model = place.folder / "requirements.txt", place.folder / "model"
        requirements.write_text("\n".join(self.pins))
        shutil.rmtree(model, ignore_errors=True)
        save: list[str | Path] = [place.python, PEERS / "mlflow/save.py", place.subject.model, place.subject.rows]
        timed([*save, requirements, model], self.environment(place, 0))

    def command(self, place: Place, port: int) -> list[str | Path]:
        """See `Server`."""
        options = ["--env-manager", "local", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
        return [place.program("mlflow"), "models", "serve", "--model-uri", place.folder / "model", *options]

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        quiet = {"UVICORN_ACCESS_LOG": "false", "UVICORN_LOG_LEVEL": "warning", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return super().environment(place, port) | quiet

    def payload(self, rows: list[dict[str, Any]]) -> Any:
        """See `Server`."""
        return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


class BentoML(Server):
    """``bentoml serve`` with one worker, from a store of its own for each model."""

    key, name, distribution = "bentoml", "BentoML", "bentoml"
    requirements = ("bentoml>=1.4.39,<1.5", UVICORN)

    def prepare(self, place: Place) -> None:
        """See `Server`."""
        shutil.rmtree(place.folder / "store", ignore_errors=True)
        timed([place.python, PEERS / "bentoml/save.py", place.subject.model], self.environment(place, 0))

    def command(self, place: Place, port: int) -> list[str | Path]:
        """See `Server`."""
        options: list[str | Path] = ["--working-dir", PEERS / "bentoml", "--host", "127.0.0.1", "--port", str(port)]
        return [place.program("bentoml"), "serve", "serving:Bench", *options]

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        own = {"BENTOML_HOME": str(place.folder / "store"), "BENTOML_DO_NOT_TRACK": "True"}
        return super().environment(place, port) | own

    def predictions(self, answer: Any) -> Any:
        """See `Server`."""
        return answer


class MLServer(Server):
    """``mlserver start`` without a pool of workers, its faster way; a request has a tensor for each named column."""

    key, name, distribution, path = "mlserver", "MLServer", "mlserver", "/v2/models/bench/infer"
    # Later versions of uvloop make no event loop where there is none, and MLServer counts on it.
    requirements = ("mlserver>=1.7.1,<2", "mlserver-sklearn>=1.7.1,<2", "uvloop<0.22", UVICORN)

    def prepare(self, place: Place) -> None:
        """See `Server`."""
        shutil.copy(place.subject.model, place.folder / "model.joblib")
        shutil.copy(PEERS / "mlserver/model-settings.json", place.folder)

    def command(self, place: Place, port: int) -> list[str | Path]:  # noqa: ARG002 - it is in the environment
        """See `Server`."""
        return [place.program("mlserver"), "start", place.folder]

    def environment(self, place: Place, port: int) -> dict[str, str]:
        """See `Server`."""
        settings = {"PARALLEL_WORKERS": "0", "DEBUG": "false", "HOST": "127.0.0.1", "HTTP_PORT": str(port)}
        settings |= {"GRPC_PORT": str(free_port()), "METRICS_PORT": str(free_port())}
        return super().environment(place, port) | {f"MLSERVER_{name}": value for name, value in settings.items()}

    def payload(self, rows: list[dict[str, Any]]) -> Any:
        """See `Server`."""
        tensors = [_tensor(name, [row[name] for row in rows]) for name in rows[0]]
        return {"parameters": {"content_type": "pd"}, "inputs": tensors}

    def predictions(self, answer: Any) -> Any:
        """See `Server`."""
        return answer["outputs"][0]["data"]


def _tensor(name: str, values: list[Any]) -> dict[str, Any]:
    kind = type(values[0])
    tensor = {"name": name, "shape": [len(values), 1], "datatype": _DATATYPES[kind], "data": values}
    return tensor | ({"parameters": {"content_type": "str"}} if kind is str else {})


class LitServe(Server):
    """A LitAPI with one worker and one process that speaks HTTP."""

    key, name, distribution = "litserve", "LitServe", "litserve"
    requirements = ("litserve>=0.2.19,<0.3", UVICORN)

    def command(self, place: Place, port: int) -> list[str | Path]:
        """See `Server`."""
        return [place.python, PEERS / "litserve/app.py", str(port)]


class Vetiver(Application):
    """vetiver's own FastAPI application, its prototype checked."""

    key, name, folder, distribution = "vetiver", "vetiver", "vetiver", "vetiver"
    requirements = ("vetiver>=0.2.6,<0.3", UVICORN)

    def payload(self, rows: list[dict[str, Any]]) -> Any:
        """See `Server`."""
        return rows

    def predictions(self, answer: Any) -> Any:
        """See `Server`."""
        return answer["predict"]
