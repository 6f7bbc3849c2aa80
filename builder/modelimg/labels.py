"""Labels: what ``docker inspect`` says of a model image, and which strings a label may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from modelimg import __version__
from modelimg.base.resolve import ResolvedBase
from modelimg.errors import PackageError, RenderError, UsageError
from modelimg.oci.image import EPOCH
from modelimg_runtime import contract

if TYPE_CHECKING:
    from modelimg.pack.package import ModelPackage

OCI = "org.opencontainers.image."
OWN = "io.modelimg."
MAX_DOCKERFILE_VALUE = 60_000
"""Bytes of an escaped value; the Dockerfile parser reads lines of up to 65,536."""

_STANDARD_TEXTS = ("authors", "url", "documentation", "vendor", "licenses", "title", "description")
_KEY = re.compile(r"[A-Za-z0-9._-]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LINE_BREAK = re.compile(r"[\r\n]")


def image_labels(package: ModelPackage, base: ResolvedBase, created: str) -> dict[str, str]:
    """All labels that are known of a package on a base, sorted by key.

    Raises:
        RenderError: a value holds NUL or a lone surrogate.
    """
    manifest = package.manifest
    provenance: Mapping[str, Any] = package.json(contract.PROVENANCE)
    code: Mapping[str, Any] = provenance.get("code", {})
    labels: dict[str, Any] = {
        OCI + "created": created,
        OCI + "version": manifest.version,
        OCI + "title": manifest.name,
        OCI + "revision": code.get("revision"),
        OCI + "source": code.get("source"),
        OCI + "base.name": base.name,
        OCI + "base.digest": str(base.digest),
        **{OCI + key: manifest.metadata[key] for key in _STANDARD_TEXTS if key in manifest.metadata},
        OWN + "version": __version__,
        OWN + "model.name": manifest.name,
        OWN + "model.format": manifest.model.format,
        OWN + "model.estimator": manifest.model.estimator,
        OWN + "model.sha256": manifest.model.sha256,
        OWN + "model.trust": ",".join(manifest.model.trust),
        OWN + "code.revision": code.get("revision"),
        OWN + "code.dirty": code.get("dirty"),
        OWN + "code.source": code.get("source"),
        OWN + "code.patch.sha256": code.get("patch_sha256"),
        OWN + "requirements.sha256": manifest.files[contract.serving_lock(str(base.platform))],
        OWN + "python": ".".join(manifest.python.split(".")[:2]),
        OWN + "training.command": provenance.get("training", {}).get("command"),
        **_schema_labels(manifest),
        **_profile_labels(manifest),
        **_split_labels(provenance.get("data", {})),
        **_metric_labels(package.json(contract.METRICS)),
    }
    texts = {key: _text(value) for key, value in labels.items() if value not in (None, "")}
    for key, value in texts.items():
        check_label(key, value)
    return dict(sorted(texts.items()))


def _schema_labels(manifest: contract.PackageManifest) -> dict[str, str]:
    return {
        f"{OWN}schema.{side}.sha256": manifest.files[ref.partition(":")[0]] for side, ref in manifest.schemas.items()
    }


def _profile_labels(manifest: contract.PackageManifest) -> dict[str, str | None]:
    """Packages of before have no profiles."""
    files = {"input": contract.INPUT_PROFILE, "output": contract.OUTPUT_PROFILE}
    return {f"{OWN}profile.{side}.sha256": manifest.files.get(name) for side, name in files.items()}


def _split_labels(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    keys = ("sha256", "kind", "rows", "columns", "uri")
    return {f"{OWN}data.{split}.{key}": facts.get(key) for split, facts in splits.items() for key in keys}


def _metric_labels(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers only: a confusion matrix is in the file."""
    return {
        f"{OWN}metrics.{split}.{name}": value
        for split, values in metrics.items()
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _text(value: Any) -> str:
    """Round-trip exact: ``true``, ``0.9736842105263158``, and a list as its length would be a lie, so as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def check_label(key: str, value: str) -> None:
    """Refuse what no label may hold, whatever the engine.

    Raises:
        RenderError: NUL, a lone surrogate, or a key outside ``[A-Za-z0-9._-]``.
    """
    if not _KEY.fullmatch(key):
        raise RenderError(
            f"{key!r} cannot be a label's name",
            hint="names of splits and metrics take letters, digits, '.', '_' and '-'",
        )
    if "\0" in value:
        raise RenderError(f"the label {key} holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RenderError(f"the label {key} holds a lone surrogate at character {error.start}") from error


def fits_dockerfile(value: str) -> bool:
    """Whether a ``LABEL`` line can hold the value; the docker engine passes the rest beside the Dockerfile."""
    return not _LINE_BREAK.search(value) and len(quote(value).encode()) - 2 <= MAX_DOCKERFILE_VALUE


def quote(value: str) -> str:
    """A string as a double-quoted word of a Dockerfile: backslash, quote and dollar escaped.

    Source: https://docs.docker.com/reference/dockerfile/#escape and the word rules of its shell lexer.
    """
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def creation_time(package: ModelPackage, source_date_epoch: str | None) -> str:
    """``SOURCE_DATE_EPOCH``, else the training commit's time, else one constant; never the clock.

    Raises:
        UsageError: SOURCE_DATE_EPOCH is not a whole number of seconds.
        PackageError: the recorded commit time is no ISO 8601 time.
    """
    if source_date_epoch:
        return _from_epoch(source_date_epoch)
    committed = package.json(contract.PROVENANCE).get("code", {}).get("committed")
    if not committed:
        return EPOCH
    try:
        return _rfc3339(datetime.fromisoformat(committed).astimezone(UTC))
    except ValueError as error:
        raise PackageError(f"{package.path / contract.PROVENANCE}: {committed!r} is no time of a commit") from error


def _from_epoch(text: str) -> str:
    try:
        seconds = int(text) if text.isascii() and text.isdigit() else -1
        return _rfc3339(_EPOCH + timedelta(seconds=seconds)) if seconds >= 0 else _refuse_epoch(text)
    except OverflowError:
        return _refuse_epoch(text)


def _refuse_epoch(text: str) -> NoReturn:
    raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}", hint="it takes a whole number of seconds since 1970")


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
