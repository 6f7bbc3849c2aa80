"""Loading a model: every digest first, then the contract, then the pickle, from the very bytes that were hashed."""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandera.pandas as pa

from modelimg_runtime import contract, unpickle
from modelimg_runtime.errors import ContractUnusable, ModelRefused, PackageUnreadable
from modelimg_runtime.jobs import unset_jobs
from modelimg_runtime.package import Package, open_package
from modelimg_runtime.predict import Predictor
from modelimg_runtime.validation import load_schema

log = logging.getLogger(__name__)

# scikit-learn's InconsistentVersionWarning; a plain UserWarning of the same words before 1.3.
_OTHER_VERSION = re.compile(r"Trying to unpickle estimator .* from version (\S+) when using version (\S+?)\.? ")


@dataclass(frozen=True)
class LoadedModel:
    """A model with all that belongs to it, digests checked.

    Attributes:
        estimator: the fitted object.
        package: where it came from, with its manifest.
        input_schema: contract of the input.
        output_schema: contract of the output.
        examples: rows with the predictions that were made in training.
    """

    estimator: Any
    package: Package
    input_schema: pa.DataFrameSchema
    output_schema: pa.DataFrameSchema
    examples: contract.Examples

    @property
    def manifest(self) -> contract.PackageManifest:
        """The package's manifest."""
        return self.package.manifest

    def predictor(self, most: int | None = None) -> Predictor:
        """The model between its two contracts.

        Args:
            most: how many violations of one request are named at most.

        Raises:
            ContractUnusable: a column of the input schema has a dtype that no request can fill.
        """
        return Predictor(self.estimator, self.manifest.classes, self.input_schema, self.output_schema, most)


def load_model(folder: Path) -> LoadedModel:
    """Load the model of a package.

    Raises:
        PackageUnreadable: no package, a changed one, or one of a newer format.
        ContractUnusable: a schema that is missing or unreadable.
        ContractWeakened: a pandera switch turns validation off.
        ModelRefused: another model file than the packed one, one that needs what is not allowed, or that was fitted by
            another version of scikit-learn.
    """
    package = open_package(folder)
    package.verify()
    manifest = package.manifest
    data = package.read(manifest.model.file)
    return LoadedModel(
        input_schema=_schema(package, "input"),
        output_schema=_schema(package, "output"),
        examples=_examples(package),
        estimator=unset_jobs(_unpickle(data, manifest.model)),
        package=package,
    )


def _schema(package: Package, side: str) -> pa.DataFrameSchema:
    reference = package.manifest.schemas.get(side, "")
    if reference.partition(":")[0] not in package.manifest.files:
        raise ContractUnusable(f"the model package has no {side} schema")
    return load_schema(package.folder, reference)


def _examples(package: Package) -> contract.Examples:
    try:
        return contract.Examples.from_json(package.read(contract.EXAMPLES))
    except ValueError as error:
        raise PackageUnreadable(str(error)) from error


def _unpickle(data: bytes, model: contract.ModelFile) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = unpickle.load(data, model.format, frozenset(model.globals)).object
        except unpickle.UnpickleError as error:
            raise ModelRefused(f"{model.file} may not be loaded: {error}") from error
    for warning in caught:
        other = _OTHER_VERSION.match(str(warning.message))
        if other:
            fitted, here = other.groups()
            raise ModelRefused(f"{model.file} was fitted by scikit-learn {fitted}, and here is scikit-learn {here}")
        log.warning("while loading %s: %s", model.file, warning.message)
    return estimator
