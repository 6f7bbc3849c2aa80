"""modelimg: container images for trained Python models, assembled, not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelimg.pack.assemble import pack as pack

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name != "pack":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The subpackage takes this name as soon as any module of it is imported, and can be called like the function.
    import modelimg.pack as package

    return package
