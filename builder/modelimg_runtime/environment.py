"""What the runtime reads from the environment. Standard library only, so that ``health`` starts at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from modelimg_runtime import contract
from modelimg_runtime.errors import ContractWeakened, SettingRefused

ENV_MAX_BODY_BYTES = "MODELIMG_MAX_BODY_BYTES"
DEFAULT_MAX_BODY_BYTES = 10_000_000
ENV_FAST_PATH = "MODELIMG_FAST_PATH"
ENV_VERTEX_HEALTH, ENV_VERTEX_PREDICT = "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"

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
    """

    model_dir: Path = Path(contract.MODEL_PATH)
    port: int = contract.DEFAULT_PORT
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    host: str = "0.0.0.0"  # noqa: S104 - see above
    fast_path: bool = True
    vertex_health: str | None = None
    vertex_predict: str | None = None

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
            fast_path=_switch(environ, ENV_FAST_PATH),
            vertex_health=_path(environ, ENV_VERTEX_HEALTH),
            vertex_predict=_path(environ, ENV_VERTEX_PREDICT),
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


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "on"
    if text not in ("on", "off"):
        raise SettingRefused(f"{name}={text} is neither on nor off")
    return text == "on"


def _number(environ: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 16 and 1 <= int(text) <= highest):
        raise SettingRefused(f"{name}={text} is no whole number from 1 to {highest}")
    return int(text)
