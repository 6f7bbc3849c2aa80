"""modelimg: container images for trained Python models, assembled, not installed."""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelimg.pack.assemble import pack as pack

__version__ = _version("modelimg")


def __getattr__(name: str) -> Any:
    if name != "pack":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The subpackage takes this name as soon as any module of it is imported, and can be called like the function.
    import modelimg.pack as package

    return package
