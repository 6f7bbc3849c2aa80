"""Which globals a model file may refer to while it is packed; everything else is refused before it is imported.

Within scikit-learn, NumPy, SciPy, pandas and joblib the policy does not go by package names: ``joblib.load``,
``numpy.load`` and ``pandas.read_pickle`` live there too. It is an enumerated list (``allowed_globals.txt``), widened by
two rules that name kinds of objects instead of objects: estimators and kernels of scikit-learn, and ufuncs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_UFUNC_MODULES = frozenset(
    {"numpy", "numpy.core._multiarray_umath", "scipy.special", "scipy.special._ufuncs", "scipy.special._special_ufuncs"}
)
_SKLEARN_CLOSED = frozenset(
    {"datasets", "externals", "tests", "conftest", "_testing", "_test_common", "estimator_checks"}
)


@dataclass(frozen=True)
class AllowList:
    """The policy of packing.

    Attributes:
        trust: what the user trusts by name: a module with all below it, or one ``module.Class``.
        code: importable names of the user's own modules, which are packed and trusted.
    """

    trust: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def __call__(self, module: str, name: str) -> bool:
        """Whether ``name`` of ``module`` may be imported."""
        return (
            f"{module} {name}" in enumerated_globals()
            or self._is_trusted(module, name)
            or _is_ufunc(module, name)
            or _is_estimator_or_kernel(module, name)
        )

    def _is_trusted(self, module: str, name: str) -> bool:
        if f"{module}.{name}" in self.trust:
            return True
        roots = [entry for entry in (*self.trust, *self.code) if _is_below(module, entry)]
        # What a trusted module merely imported, such as ``os.system``, is not its own.
        return any(_is_below(getattr(_resolve(module, name), "__module__", None) or "", root) for root in roots)


@cache
def enumerated_globals() -> frozenset[str]:
    """The shipped list of ``module name`` strings; ``scripts/enumerate_globals.py`` writes it."""
    text = files("modelimg.pack").joinpath("allowed_globals.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def top_level(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted top-level modules of ``module name`` strings."""
    return tuple(sorted({name.split(" ")[0].split(".")[0] for name in names}))


def _is_below(module: str, root: str) -> bool:
    return module == root or module.startswith(f"{root}.")


def _is_ufunc(module: str, name: str) -> bool:
    if module not in _UFUNC_MODULES:
        return False
    import numpy as np

    return isinstance(_resolve(module, name), np.ufunc)


def _is_estimator_or_kernel(module: str, name: str) -> bool:
    parts = module.split(".")
    if parts[0] != "sklearn" or not _SKLEARN_CLOSED.isdisjoint(parts):
        return False
    from sklearn.base import BaseEstimator
    from sklearn.gaussian_process.kernels import Kernel

    found = _resolve(module, name)
    return isinstance(found, type) and issubclass(found, BaseEstimator | Kernel) and found.__module__ == module


def _resolve(module: str, name: str) -> Any:
    """The object, or None where it cannot be imported; the module's package is one that we trust."""
    try:
        importlib.import_module(module)
    except ImportError:
        return None
    return getattr(sys.modules[module], name, None)
