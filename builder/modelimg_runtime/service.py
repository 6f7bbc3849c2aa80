"""A model's life in one serving process: loading, then ready, or refused."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import InputRejected, ModelRefused, OutputRejected, RuntimeFault, StartRefused
from modelimg_runtime.microbatch import Batcher, Limits, batcher_of
from modelimg_runtime.problems import MOST_ERRORS

if TYPE_CHECKING:
    from modelimg_runtime.monitor import Live, Monitor
    from modelimg_runtime.package import Package
    from modelimg_runtime.served import ServedModel

log = logging.getLogger(__name__)

SAVE_SECONDS = 60
"""Between two writes of what the monitor counted: as much as a kill may lose."""


@dataclass(frozen=True)
class Ready:
    """What a ready process serves.

    Attributes:
        model: between its contracts.
        classes: names for its probabilities.
        info: body of ``/info``.
        batcher: predicts requests that come together.
        monitor: what all processes count in; None where nothing is monitored.
    """

    model: ServedModel
    classes: tuple[Any, ...]
    info: dict[str, Any]
    batcher: Batcher
    monitor: Monitor | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """Name and version of the model."""
        manifest = self.model.package.manifest
        return manifest.name, manifest.version

    @property
    def labels(self) -> dict[str, str]:
        """What ``modelimg_info`` says."""
        manifest = self.model.package.manifest
        schema = manifest.schemas.get("input", "").partition(":")[0]
        return {
            "model": manifest.name,
            "version": manifest.version,
            "model_sha256": manifest.model.sha256,
            "schema_sha256": manifest.files.get(schema, ""),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The model's columns in order."""
        return self.model.examples.columns

    def schema(self) -> dict[str, Any]:
        """Body of ``/schema``; loads the contracts where nothing needed them before."""
        from modelimg_runtime.schema_view import schema_view

        return schema_view(self.model.model)

    def tensors(self) -> tuple[list[tuple[str, str]], list[tuple[str, str, int | None]]]:
        """Name and kind of each column, and name, datatype and second dimension of each output."""
        from modelimg_runtime.protocols.oip import described_outputs

        kinds = self.model.kinds
        return list(kinds.items()), described_outputs(self.model.examples)


def prepare(
    folder: Path,
    *,
    fast_path: bool,
    limits: Limits | None = None,
    tolerance: float = 0.0,
    monitored: Callable[[Package], Monitor | None] | None = None,
) -> Ready:
    """Load a package with every check, replay its examples, and settle the garbage collector.

    Args:
        folder: the package.
        fast_path: whether scikit-learn may be passed by where packing found the answers to be the same.
        limits: how many rows of several requests are predicted together where that changes no answer.
        tolerance: by how much it may change a number of an answer.
        monitored: makes the monitor of a package.

    Raises:
        StartRefused: something is not as it was packed, or an example comes out differently.
    """
    # What the model needs may take a second to import: not before /livez answers.
    from modelimg_runtime import describe

    model = open_checked(folder, fast_path=fast_path, most=MOST_ERRORS)
    batcher = batcher_of(model, limits or Limits(), tolerance)
    monitor = monitored(model.package) if monitored else None
    ready = Ready(model, model.package.manifest.classes, describe.info(model.package), batcher, monitor)
    # What is alive now stays alive: keeping it out of every later collection cuts the long tail of latency.
    gc.collect()
    gc.freeze()
    return ready


def open_checked(folder: Path, *, fast_path: bool, most: int | None = None) -> ServedModel:
    """A package's model, which says here what it said in training.

    Args:
        folder: the package.
        fast_path: as of `prepare`.
        most: how many violations of one request are named at most; all where None.

    Raises:
        StartRefused: something is not as it was packed, or an example comes out differently.
    """
    from modelimg_runtime import selftest, served

    model = served.open_served(folder, fast_path=fast_path, most=most)
    try:
        differences = selftest.replay(model)
    except (InputRejected, OutputRejected) as error:
        raise ModelRefused(f"of the packed examples, {error}, first at {error.violations[0]}") from error
    if differences:
        counts = f"{len(differences)} of the {len(model.examples.rows)} packed examples come out differently here"
        raise ModelRefused(f"{counts}; the command selftest names them and the packages that differ")
    return model


def prepare_or_refuse(settings: Settings) -> Ready:
    """`prepare` as the settings say; whatever goes wrong is a refusal.

    Raises:
        StartRefused: the process may not serve this package.
    """
    try:
        limits = Limits(settings.batch_rows, settings.batch_delay_ms / 1000)
        return prepare(
            settings.model_dir,
            fast_path=settings.fast_path,
            limits=limits,
            tolerance=settings.batch_tolerance,
            monitored=lambda package: _monitor(package, settings),
        )
    except StartRefused:
        raise
    except Exception as error:  # what is not reported here would hang unready for ever
        log.exception("loading failed")
        fault = str(error) if isinstance(error, RuntimeFault) else type(error).__name__
        raise StartRefused(f"the model package cannot be loaded: {fault}; the log has the traceback") from error


def _monitor(package: Package, settings: Settings) -> Monitor | None:
    if not settings.monitor:
        return None
    from modelimg_runtime.monitor import Limits, open_monitor

    kept = (settings.window_seconds, settings.windows, settings.feedback_rows, settings.feedback_seconds)
    return open_monitor(package, Limits(*kept), settings.workers, settings.state_dir)


class Service:
    """Holds the model once it is there.

    Args:
        ready: what is served, where it is loaded already.
        worker: number of this process.

    Attributes:
        ready: what is served; None until it is loaded and checked.
        live: counts what is served; None where nothing is monitored.
        draining: the process was told to end, and answers what comes until it does.
    """

    def __init__(self, ready: Ready | None = None, worker: int = 0) -> None:
        self.ready: Ready | None = None
        self.live: Live | None = None
        self.draining = False
        self._worker = worker
        if ready is not None:
            self._become(ready)

    def _become(self, ready: Ready) -> None:
        self.live = ready.monitor.live(self._worker) if ready.monitor else None
        self.ready = ready

    def start_loading(self, settings: Settings, on_refusal: Callable[[StartRefused], None]) -> None:
        """Load in the background; a daemon thread, so that a SIGTERM need not wait for it.

        Args:
            settings: which package, and whether it may be served without scikit-learn.
            on_refusal: called from the loading thread when the process may not serve this package.
        """

        def load() -> None:
            try:
                self._become(prepare_or_refuse(settings))
                log.info("ready")
            except StartRefused as error:
                on_refusal(error)

        threading.Thread(target=load, name="load", daemon=True).start()
