"""A model's life in one serving process: loading, then ready, or refused."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelimg_runtime.errors import InputRejected, ModelRefused, OutputRejected, RuntimeFault, StartRefused

if TYPE_CHECKING:
    from modelimg_runtime.predict import Predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """What a ready process serves.

    Attributes:
        predictor: the model between its contracts.
        classes: names for its probabilities.
        info: body of ``/info``.
        schema: body of ``/schema``.
    """

    predictor: Predictor
    classes: tuple[Any, ...]
    info: dict[str, Any]
    schema: dict[str, Any]


def prepare(folder: Path) -> Ready:
    """Load a package with every check, replay its examples, and settle the garbage collector.

    Raises:
        StartRefused: something is not as it was packed, or an example comes out differently.
    """
    # pandas, pandera and scikit-learn take a second to import: not before /livez answers.
    from modelimg_runtime import describe, model, schema_view, selftest

    loaded = model.load_model(folder)
    predictor = loaded.predictor()
    try:
        differences = selftest.replay(loaded, predictor)
    except (InputRejected, OutputRejected) as error:
        raise ModelRefused(f"of the packed examples, {error}, first at {error.violations[0]}") from error
    if differences:
        counts = f"{len(differences)} of the {len(loaded.examples.rows)} packed examples come out differently here"
        raise ModelRefused(f"{counts}; the command selftest names them and the packages that differ")
    ready = Ready(predictor, loaded.manifest.classes, describe.info(loaded.package), schema_view.schema_view(loaded))
    # What is alive now stays alive: keeping it out of every later collection cuts the long tail of latency.
    gc.collect()
    gc.freeze()
    return ready


class Service:
    """Holds the model once it is there.

    Args:
        folder: the model package.
        on_refusal: called from the loading thread when the process may not serve this package.
    """

    def __init__(self, folder: Path, on_refusal: Callable[[StartRefused], None]) -> None:
        self.ready: Ready | None = None
        self._folder = folder
        self._on_refusal = on_refusal

    def start_loading(self) -> None:
        """Load in the background; a daemon thread, so that a SIGTERM need not wait for it."""
        threading.Thread(target=self._load, name="load", daemon=True).start()

    def _load(self) -> None:
        try:
            self.ready = prepare(self._folder)
            log.info("ready")
        except StartRefused as error:
            self._on_refusal(error)
        except Exception as error:  # nobody waits for this thread: what it does not report would hang unready for ever
            log.exception("loading failed")
            fault = str(error) if isinstance(error, RuntimeFault) else type(error).__name__
            self._on_refusal(StartRefused(f"the model package cannot be loaded: {fault}; the log has the traceback"))
