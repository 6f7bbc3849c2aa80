"""What live data are compared with: the profiles that a model was packed with, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass

from modelimg_runtime import contract
from modelimg_runtime.monitor.document import Identity
from modelimg_runtime.package import Package
from modelimg_runtime.profile.input import InputProfile
from modelimg_runtime.profile.output import OutputProfile


class NoBaseline(Exception):  # noqa: N818 - it says what is the case
    """The package has no profiles that can be read; the message says so in one sentence without a full stop."""


@dataclass(frozen=True)
class Baseline:
    """See the module.

    Attributes:
        identity: names the model and the profiles, and every count that is compared with them.
        task: ``classification``, ``regression`` or ``other``.
        input: profile of the training inputs.
        output: profile of the model's answers.
    """

    identity: Identity
    task: str
    input: InputProfile
    output: OutputProfile

    @classmethod
    def of(cls, package: Package) -> Baseline:
        """The baseline of a package.

        Raises:
            NoBaseline: it was packed without profiles, or by a newer modelimg.
            PackageUnreadable: a file is missing or was changed.
        """
        manifest = package.manifest
        for name in (contract.INPUT_PROFILE, contract.OUTPUT_PROFILE):
            if name not in manifest.files:
                raise NoBaseline(f"the package has no {name}")
        try:
            read = (
                InputProfile.from_json(package.read(contract.INPUT_PROFILE)),
                OutputProfile.from_json(package.read(contract.OUTPUT_PROFILE)),
            )
        except ValueError as error:
            raise NoBaseline(str(error)) from error
        identity = Identity(
            manifest.name,
            manifest.version,
            manifest.model.sha256,
            manifest.files[contract.INPUT_PROFILE],
            manifest.files[contract.OUTPUT_PROFILE],
        )
        return cls(identity, manifest.task, *read)
