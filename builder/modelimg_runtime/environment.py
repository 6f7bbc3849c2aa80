"""What the runtime reads from the environment. Standard library only, so that ``health`` starts at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from modelimg_runtime import container, contract
from modelimg_runtime.errors import ContractWeakened, SettingRefused

ENV_MAX_BODY_BYTES = "MODELIMG_MAX_BODY_BYTES"
DEFAULT_MAX_BODY_BYTES = 10_000_000
ENV_FAST_PATH = "MODELIMG_FAST_PATH"
ENV_WORKERS = "MODELIMG_WORKERS"
ENV_LOG_FORMAT, ENV_LOG_LEVEL, ENV_ACCESS_LOG = "MODELIMG_LOG_FORMAT", "MODELIMG_LOG_LEVEL", "MODELIMG_ACCESS_LOG"
ENV_READ_TIMEOUT, ENV_KEEP_ALIVE = "MODELIMG_READ_TIMEOUT_SECONDS", "MODELIMG_KEEP_ALIVE_SECONDS"
ENV_DRAIN_DELAY = "MODELIMG_DRAIN_DELAY_SECONDS"
ENV_MAX_WAITING, ENV_MAX_HELD_BYTES = "MODELIMG_MAX_WAITING", "MODELIMG_MAX_HELD_BYTES"
ENV_BATCH_ROWS, ENV_BATCH_DELAY = "MODELIMG_BATCH_ROWS", "MODELIMG_BATCH_DELAY_MS"
ENV_BATCH_TOLERANCE = "MODELIMG_BATCH_TOLERANCE"
ENV_MONITOR = "MODELIMG_MONITOR"
ENV_WINDOW_SECONDS, ENV_WINDOWS = "MODELIMG_MONITOR_WINDOW_SECONDS", "MODELIMG_MONITOR_WINDOWS"
ENV_FEEDBACK_ROWS, ENV_FEEDBACK_SECONDS = "MODELIMG_FEEDBACK_ROWS", "MODELIMG_FEEDBACK_SECONDS"
ENV_STATE_DIR = "MODELIMG_STATE_DIR"
ENV_KUBERNETES = "KUBERNETES_SERVICE_HOST"
"""Kubernetes sets it in every container."""
DRAIN_SECONDS = 25
"""From SIGTERM to the end at most: less than the 30 seconds after which Kubernetes kills."""
ENV_VERTEX_HEALTH, ENV_VERTEX_PREDICT = "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"

_MOST_WORKERS = 256
_TRUE = frozenset({"true", "True", "1"})  # what pandera.config takes for true; everything else is false to it


@dataclass(frozen=True)
class Settings:
    """How this process was asked to serve.

    Attributes:
        model_dir: folder of the model package.
        port: TCP port; ``PORT`` wins over Vertex AI's ``AIP_HTTP_PORT``, since it is the one set by hand.
        max_body_bytes: longest request body that is read.
        fast_path: predict without scikit-learn where packing showed that the answers are the same.
        vertex_health: Vertex AI's path of the health check, beside our own.
        vertex_predict: Vertex AI's path for predictions.
        host: IPv4 address to listen on; a container's only purpose is to be reached, so all unless told otherwise.
        workers: serving processes.
        log_format: ``text`` or ``json``.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        access_log: a line for each request.
        read_timeout: seconds within which a whole request must have come.
        keep_alive: seconds for which an idle connection is kept.
        drain_delay: seconds after SIGTERM in which connections are still accepted.
        max_waiting: requests of one worker that may wait for a thread.
        max_held_bytes: bytes of bodies that one worker may hold; as the container's memory allows where None.
        batch_rows: rows at most that are predicted together for several requests; 1 predicts each by itself.
        batch_delay_ms: how long a request waits for others to be predicted with.
        batch_tolerance: by how much that may change a number of an answer; 0 for not a bit.
        monitor: count what is served in the bins of the packed profiles.
        window_seconds: length of a window of these counts.
        windows: that are kept.
        feedback_rows: predictions that are remembered until their labels come.
        feedback_seconds: for which they are.
        state_dir: where the counts survive a restart.
    """

    model_dir: Path = Path(contract.MODEL_PATH)
    port: int = contract.DEFAULT_PORT
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    host: str = "0.0.0.0"  # noqa: S104 - see above
    fast_path: bool = True
    vertex_health: str | None = None
    vertex_predict: str | None = None
    workers: int = 1
    log_format: str = "text"
    log_level: str = "info"
    access_log: bool = False
    read_timeout: int = 60
    keep_alive: int = 75
    drain_delay: int = 0
    max_waiting: int = 1000
    max_held_bytes: int | None = None
    batch_rows: int = 64
    batch_delay_ms: int = 0
    batch_tolerance: float = 0.0
    monitor: bool = True
    window_seconds: int = 3600
    windows: int = 24
    feedback_rows: int = 100_000
    feedback_seconds: int = 7 * 86_400
    state_dir: Path | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings; an empty variable counts as one that is not set.

        Raises:
            SettingRefused: a variable that is no number, out of range, no address, or neither on nor off.
        """
        port_name = contract.ENV_PORT if environ.get(contract.ENV_PORT) else contract.ENV_VERTEX_PORT
        return cls(
            model_dir=Path(environ.get(contract.ENV_MODEL_DIR) or contract.MODEL_PATH),
            host=_address(environ.get(contract.ENV_HOST) or cls.host),
            port=_number(environ, port_name, contract.DEFAULT_PORT, 65535),
            max_body_bytes=_number(environ, ENV_MAX_BODY_BYTES, DEFAULT_MAX_BODY_BYTES, 2**40),
            fast_path=_switch(environ, ENV_FAST_PATH, "on"),
            vertex_health=_path(environ, ENV_VERTEX_HEALTH),
            vertex_predict=_path(environ, ENV_VERTEX_PREDICT),
            workers=_workers(environ),
            log_format=_one_of(environ, ENV_LOG_FORMAT, ("text", "json")),
            log_level=_one_of(environ, ENV_LOG_LEVEL, ("info", "debug", "warning", "error")),
            access_log=_switch(environ, ENV_ACCESS_LOG, "off"),
            read_timeout=_number(environ, ENV_READ_TIMEOUT, cls.read_timeout, 3600),
            keep_alive=_number(environ, ENV_KEEP_ALIVE, cls.keep_alive, 3600),
            drain_delay=_number(environ, ENV_DRAIN_DELAY, _drain_delay(environ), DRAIN_SECONDS - 5, lowest=0),
            max_waiting=_number(environ, ENV_MAX_WAITING, cls.max_waiting, 10**6),
            max_held_bytes=_number(environ, ENV_MAX_HELD_BYTES, 0, 2**50, lowest=0) or None,
            batch_rows=_number(environ, ENV_BATCH_ROWS, cls.batch_rows, 10**6),
            batch_delay_ms=_number(environ, ENV_BATCH_DELAY, cls.batch_delay_ms, 1000, lowest=0),
            batch_tolerance=_tolerance(environ, ENV_BATCH_TOLERANCE),
            monitor=_switch(environ, ENV_MONITOR, "on"),
            window_seconds=_number(environ, ENV_WINDOW_SECONDS, cls.window_seconds, 7 * 86_400),
            windows=_number(environ, ENV_WINDOWS, cls.windows, 1000),
            feedback_rows=_number(environ, ENV_FEEDBACK_ROWS, cls.feedback_rows, 10**8, lowest=0),
            feedback_seconds=_number(environ, ENV_FEEDBACK_SECONDS, cls.feedback_seconds, 10**9),
            state_dir=Path(environ[ENV_STATE_DIR]) if environ.get(ENV_STATE_DIR) else None,
        )


def refuse_weakened_validation(environ: Mapping[str, str]) -> None:
    """Refuse pandera's own switches that would let input through unchecked, or checked by another backend.

    They are read when pandera is first imported (``pandera.config``), so this runs before that.

    Raises:
        ContractWeakened: such a switch is set.
    """
    enabled = environ.get("PANDERA_VALIDATION_ENABLED", "True")
    depth = environ.get("PANDERA_VALIDATION_DEPTH", "SCHEMA_AND_DATA")
    narwhals = environ.get("PANDERA_USE_NARWHALS_BACKEND", "False")
    if enabled not in _TRUE:
        raise ContractWeakened(
            f"PANDERA_VALIDATION_ENABLED={enabled} switches validation off, so no contract would hold"
        )
    if depth != "SCHEMA_AND_DATA":
        raise ContractWeakened(f"PANDERA_VALIDATION_DEPTH={depth} leaves out a part of validation")
    if narwhals in _TRUE:
        raise ContractWeakened(
            f"PANDERA_USE_NARWHALS_BACKEND={narwhals} validates by a backend other than the packed one"
        )


def _address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError as error:
        raise SettingRefused(f"{contract.ENV_HOST}={text} is no IPv4 address") from error


def _path(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name) or None
    if text is not None and not (text.startswith("/") and text.isascii() and text.isprintable() and "{" not in text):
        raise SettingRefused(f"{name}={text} is no path")
    return text


def _switch(environ: Mapping[str, str], name: str, default: str) -> bool:
    text = environ.get(name) or default
    if text not in ("on", "off"):
        raise SettingRefused(f"{name}={text} is neither on nor off")
    return text == "on"


def _one_of(environ: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """One of the choices, of which the first is the default."""
    text = environ.get(name) or choices[0]
    if text not in choices:
        raise SettingRefused(f"{name}={text} is none of {', '.join(choices)}")
    return text


def _workers(environ: Mapping[str, str]) -> int:
    if environ.get(ENV_WORKERS) == "auto":
        return min(container.cpus(), _MOST_WORKERS)
    return _number(environ, ENV_WORKERS, Settings.workers, _MOST_WORKERS)


def _drain_delay(environ: Mapping[str, str]) -> int:
    """Kubernetes sends SIGTERM while it still sends connections; elsewhere, waiting would only keep people waiting."""
    return 5 if environ.get(ENV_KUBERNETES) else Settings.drain_delay


def _tolerance(environ: Mapping[str, str], name: str) -> float:
    text = environ.get(name) or "0"
    try:
        tolerance = float(text)
    except ValueError:
        tolerance = -1.0
    if not 0 <= tolerance < 1:
        raise SettingRefused(f"{name}={text} is no number from 0 to below 1")
    return tolerance


def _number(environ: Mapping[str, str], name: str, default: int, highest: int, lowest: int = 1) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 17 and lowest <= int(text) <= highest):
        raise SettingRefused(f"{name}={text} is no whole number from {lowest} to {highest}")
    return int(text)
