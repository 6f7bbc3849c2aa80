"""Every error that modelimg raises on purpose, and the exit code each one ends with.

::

    ModelimgError                     1  something failed
    ├── UsageError                    2  what was asked for cannot be meant
    │   └── SpecError                 2  modelimg.toml: an unknown key, a wrong type, a missing value
    ├── PackError                     1  the model package could not be written
    │   ├── ModelFileError            1  missing, truncated, refused or not an estimator
    │   ├── DataError                 1  a split that cannot be read or does not fit the model
    │   ├── SchemaError               1  a contract that would be lost, or that the examples break
    │   └── RequirementsError         1  a lock that cannot be made or does not fit
    ├── PackageError                  1  a folder that is no model package, or one that was changed
    ├── FetchError                    1  a blob that cannot be had, or whose bytes are not the pinned ones
    │   ├── NotFound                  1  the server has no such file (any more)
    │   ├── DigestMismatch            1  the server has other bytes than the pinned ones
    │   └── RegistryError             1  a registry that refuses, or whose answers make no sense
    │       └── Unauthorized          1  it wants credentials that it was not given
    ├── CacheError                    1  the cache's directory cannot be written, or is full
    ├── LayerError                    1  a tree that may not become a layer
    ├── BaseError                     1  a base image that cannot be had, trusted or used
    ├── RenderError                   1  a template, or a value that a Dockerfile cannot hold
    ├── EngineError                   1  the engine could not build
    │   ├── EngineUnavailable         1  no daemon answers
    │   ├── BaseNotFound              1  the engine knows no such base image
    │   └── SandboxUnavailable        1  nothing of the image can be run on this host
    ├── ImageError                    1  an image that cannot be found or read back
    ├── DocumentError                 1  counts of /monitor.json that cannot be read, or do not add up
    └── CheckFailed                   3  a check said no
        └── GateFailed                3  the packed examples came out differently in the built image

A message says where and what; the hint says what to do next. ``str(error)`` is both.
"""

from __future__ import annotations


class ModelimgError(Exception):
    """Root of the tree.

    Args:
        message: what went wrong, and where: a path, a key, a package, a layer. One sentence, no full stop.
        hint: what to do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class UsageError(ModelimgError):
    """What was asked for cannot be meant: a flag, a reference, a tag, a folder that holds something else."""

    exit_code = 2


class SpecError(UsageError):
    """``modelimg.toml`` holds an unknown key, a value of the wrong type, or lacks one."""


class PackError(ModelimgError):
    """The model package could not be written."""


class ModelFileError(PackError):
    """A model file that is missing, truncated, refused by the allow-list, or holds no estimator."""


class DataError(PackError):
    """A split that cannot be read, lacks the target, or does not fit the model."""


class SchemaError(PackError):
    """A contract that would not survive serialisation, or that the packed examples break."""


class RequirementsError(PackError):
    """A lock that cannot be made: conflict, unknown distribution, source only, module without distribution."""


class PackageError(ModelimgError):
    """A folder that is no model package, or one whose files are not those that were packed."""


class FetchError(ModelimgError):
    """A blob that cannot be had, or whose bytes are not the pinned ones."""


class NotFound(FetchError):  # noqa: N818 - the field's word
    """The server answered, and has no such file (any more)."""


class DigestMismatch(FetchError):  # noqa: N818
    """The server has other bytes under this name than the pinned ones."""


class RegistryError(FetchError):
    """A registry that refuses, or whose answers make no sense."""


class Unauthorized(RegistryError):  # noqa: N818 - the protocol's word
    """The registry wants credentials that it was not given, or refuses those that it was."""


class CacheError(ModelimgError):
    """The cache's directory cannot be written, or there is no room left in it."""


class LayerError(ModelimgError):
    """A tree that may not become a layer: an escaping link, a whiteout name, a duplicate path."""


class BaseError(ModelimgError):
    """A base image that cannot be had, cannot be trusted, or does not fit the lock."""


class RenderError(ModelimgError):
    """A template that cannot be rendered, or a value that a Dockerfile cannot hold."""


class EngineError(ModelimgError):
    """The engine could not build the plan."""


class EngineUnavailable(EngineError):  # noqa: N818 - the field's word
    """No daemon answers."""


class BaseNotFound(EngineError):  # noqa: N818
    """The engine knows no such base image and cannot pull it."""


class SandboxUnavailable(EngineError):  # noqa: N818
    """Nothing of an image can be run on this host: another architecture, or what isolates it is forbidden."""


class ImageError(ModelimgError):
    """An image that cannot be found, or that modelimg did not build."""


class DocumentError(ModelimgError):
    """A document of ``/monitor.json`` that cannot be read, or that does not add up with the others or the package."""


class CheckFailed(ModelimgError):  # noqa: N818
    """A check said no."""

    exit_code = 3


class GateFailed(CheckFailed):
    """The packed examples came out differently inside the built image."""
