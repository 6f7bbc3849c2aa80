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

if TYPE_CHECKING:
    from modelimg_runtime.served import ServedModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """What a ready process serves.

    Attributes:
        model: between its contracts.
        classes: names for its probabilities.
        info: body of ``/info``.
    """

    model: ServedModel
    classes: tuple[Any, ...]
    info: dict[str, Any]

    @property
    def identity(self) -> tuple[str, str]:
        """Name and version of the model."""
        manifest = self.model.package.manifest
        return manifest.name, manifest.version

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


def prepare(folder: Path, *, fast_path: bool) -> Ready:
    """Load a package with every check, replay its examples, and settle the garbage collector.

    Args:
        folder: the package.
        fast_path: whether scikit-learn may be passed by where packing found the answers to be the same.

    Raises:
        StartRefused: something is not as it was packed, or an example comes out differently.
    """
    # What the model needs may take a second to import: not before /livez answers.
    from modelimg_runtime import describe, selftest, served

    model = served.open_served(folder, fast_path=fast_path)
    try:
        differences = selftest.replay(model)
    except (InputRejected, OutputRejected) as error:
        raise ModelRefused(f"of the packed examples, {error}, first at {error.violations[0]}") from error
    if differences:
        counts = f"{len(differences)} of the {len(model.examples.rows)} packed examples come out differently here"
        raise ModelRefused(f"{counts}; the command selftest names them and the packages that differ")
    ready = Ready(model, model.package.manifest.classes, describe.info(model.package))
    # What is alive now stays alive: keeping it out of every later collection cuts the long tail of latency.
    gc.collect()
    gc.freeze()
    return ready


class Service:
    """Holds the model once it is there.

    Args:
        settings: which package, and whether it may be served without scikit-learn.
        on_refusal: called from the loading thread when the process may not serve this package.
    """

    def __init__(self, settings: Settings, on_refusal: Callable[[StartRefused], None]) -> None:
        self.ready: Ready | None = None
        self._settings = settings
        self._on_refusal = on_refusal

    def start_loading(self) -> None:
        """Load in the background; a daemon thread, so that a SIGTERM need not wait for it."""
        threading.Thread(target=self._load, name="load", daemon=True).start()

    def _load(self) -> None:
        try:
            self.ready = prepare(self._settings.model_dir, fast_path=self._settings.fast_path)
            log.info("ready")
        except StartRefused as error:
            self._on_refusal(error)
        except Exception as error:  # nobody waits for this thread: what it does not report would hang unready for ever
            log.exception("loading failed")
            fault = str(error) if isinstance(error, RuntimeFault) else type(error).__name__
            self._on_refusal(StartRefused(f"the model package cannot be loaded: {fault}; the log has the traceback"))
