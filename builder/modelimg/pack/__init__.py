"""Model + data → model package.

``modelimg.pack`` is this package and the verb at once: importing any module below it would otherwise put the package
in the place of a function of that name. The module can be called, and ``from modelimg.pack import pack`` is the
function. Both stay light until they are used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelimg.pack.assemble import pack as pack
    from modelimg.pack.data import DataFile as DataFile
    from modelimg.pack.package import ModelPackage as ModelPackage
    from modelimg.pack.package import read_package as read_package

__all__ = ["DataFile", "ModelPackage", "pack", "read_package"]

_HOMES = {
    "DataFile": "modelimg.pack.data",
    "ModelPackage": "modelimg.pack.package",
    "pack": "modelimg.pack.assemble",
    "read_package": "modelimg.pack.package",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> ModelPackage:
        """See `modelimg.pack.assemble.pack`."""
        from modelimg.pack.assemble import pack

        return pack(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
