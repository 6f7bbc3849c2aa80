"""A packed model read as data: the same file, list and guards as ``unpickle``, and nothing of scikit-learn imported.

Importing scikit-learn takes longer than everything else that a container does before its first answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.unpickle import UnpickleError, load

_RECORDED_PACKAGES = ("sklearn", "_loss", "numpy.random", "numpy.ma")
"""What is only recorded: ``_loss`` is scikit-learn's up to 1.8; random generators, and the masked arrays of a
search for parameters, take no part in predicting."""
_UFUNC_NAMES = "absolute arcsinh arctan cbrt exp exp2 expm1 log log10 log1p log2 negative reciprocal sqrt square tanh"
UFUNCS = frozenset(_UFUNC_NAMES.split())
"""Functions of NumPy by name that a ``FunctionTransformer`` may hold: of one number, without state."""
_UFUNC_MODULES = frozenset({"numpy", "numpy._core._multiarray_umath", "numpy.core._multiarray_umath"})
_PARTIAL = ("functools", "partial")
_BUNCH = "sklearn.utils._bunch.Bunch"

_SCALARS = "bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 str_ bytes_"
_PLAIN: dict[str, str] = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple",
    "collections": "OrderedDict",
    "copyreg": "_reconstructor",
    "_codecs": "encode",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    "numpy": f"dtype ndarray {_SCALARS}",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
}
_PLAIN_GLOBALS = frozenset((module, name) for module, names in _PLAIN.items() for name in names.split())

_METHODS = ("predict", "predict_proba", "transform", "decision_function", "__call__")
_OUTPUT_CONFIG = "_sklearn_output_config"


class Part:
    """An object of scikit-learn's as its file describes it.

    Attributes:
        cls: the class's dotted name, such as ``sklearn.tree._tree.Tree``.
        args: what it was made with; most classes are made with nothing and then given their state.
        state: its attributes by name; what the file holds otherwise, or None.
    """

    cls: str = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *args: Any) -> Part:  # noqa: PYI034 - Self is Python 3.11's
        """As the machine makes an object: by a call or by ``__new__``."""
        part = object.__new__(cls)
        part.args = args
        return part

    def __setstate__(self, state: Any) -> None:
        """Keep the state.

        Raises:
            ValueError: it has one already.
        """
        if self.state is not None:
            raise ValueError("the data gives an object its state twice")
        self.state = state

    def _refuse_items(self, *_items: Any) -> None:
        """An honest file may fill a class of scikit-learn's that is a dict or a list; no estimator with a fast form.

        But a ``Bunch``, by whose names no prediction asks, may be as it will.
        """
        if self.cls not in (_BUNCH, "sklearn.utils.Bunch"):
            raise NotSpecialised(f"{self.name} has no fast form")

    __setitem__ = append = extend = _refuse_items

    @property
    def name(self) -> str:
        """The class's own name."""
        return self.cls.rpartition(".")[2]

    def __contains__(self, attribute: str) -> bool:
        """Whether the state has the attribute."""
        return isinstance(self.state, dict) and attribute in self.state

    def __getitem__(self, attribute: str) -> Any:
        """An attribute.

        Raises:
            NotSpecialised: the state has none of that name.
        """
        if attribute not in self:
            raise NotSpecialised(f"{self.name} has no {attribute}")
        return self.state[attribute]

    def get(self, attribute: str, default: Any = None) -> Any:
        """An attribute, or the default."""
        return self.state[attribute] if attribute in self else default

    def array(self, attribute: str, *dimensions: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """An attribute that is an array of 64-bit floats.

        Args:
            attribute: its name.
            dimensions: how many it may have; one where nothing is said.

        Raises:
            NotSpecialised: it is another thing.
        """
        value = self[attribute]
        if not isinstance(value, np.ndarray) or value.dtype != np.float64 or value.ndim not in (dimensions or (1,)):
            raise NotSpecialised(f"{attribute} of {self.name} is not an array of 64-bit floats")
        return value

    def expect(self, attribute: str, *allowed: Any) -> None:
        """Insist on a parameter's value.

        Raises:
            NotSpecialised: it has another.
        """
        value = self.get(attribute, allowed[0])
        if not any(value is each or (type(value) is type(each) and value == each) for each in allowed):
            raise NotSpecialised(f"{self.name} with {attribute}={_short(value)}")

    def check_plain(self) -> None:
        """Refuse what changes how any estimator predicts: shadowed methods, frames as output, routed metadata.

        Raises:
            NotSpecialised: the part has something of that.
        """
        for method in _METHODS:
            if method in self:
                raise NotSpecialised(f"{self.name} with a {method} of its own")
        if any(value not in (None, "default") for value in dict(self.get(_OUTPUT_CONFIG) or {}).values()):
            raise NotSpecialised(f"{self.name} with set_output")
        if self.get("_metadata_request") is not None:
            raise NotSpecialised(f"{self.name} with routed metadata")


def _short(value: Any) -> str:
    return value.name if isinstance(value, Part) else str(value)[:60]


def read_parts(data: bytes, format: str, allowed: frozenset[str]) -> Part:  # noqa: A002 - the field's word
    """Read a model file without importing or running anything of the classes that it names.

    Args:
        data: the whole file.
        format: ``pickle`` or ``joblib``.
        allowed: the exact set of ``module name`` strings that the file may refer to.

    Raises:
        RefusedGlobal: a global is not allowed.
        UnpickleError: anything else that is wrong with the data.
        NotSpecialised: the file is sound, but refers to something besides scikit-learn and plain data.
    """
    made: dict[tuple[str, str], type[Part]] = {}

    def stand_in(module: str, name: str) -> type[Part] | None:
        if (module, name) in _PLAIN_GLOBALS:
            return None
        recorded = any(module == package or module.startswith(f"{package}.") for package in _RECORDED_PACKAGES)
        if not (recorded or (module, name) == _PARTIAL or (module in _UFUNC_MODULES and name in UFUNCS)):
            raise NotSpecialised(f"{module}.{name} is neither scikit-learn's nor plain data")
        return made.setdefault((module, name), type(name, (Part,), {"cls": f"{module}.{name}"}))

    try:
        model = load(data, format, allowed, stand_in).object
    except UnpickleError as error:
        if isinstance(error.__cause__, NotSpecialised):
            raise error.__cause__ from None
        raise
    if not isinstance(model, Part):
        raise NotSpecialised(f"the file holds a {type(model).__name__}, not an estimator")
    return model


def parts_of(model: Part) -> Iterator[Part]:
    """The part and all that it is made of, each once."""
    pending: list[Any] = [model]
    seen: set[int] = set()
    while pending:
        thing = pending.pop()
        if id(thing) in seen or not isinstance(thing, (Part, dict, list, tuple, np.ndarray)):
            continue
        seen.add(id(thing))
        if isinstance(thing, Part):
            yield thing
            pending += [thing.args, thing.state]
        elif isinstance(thing, dict):
            pending += thing.values()
        elif not isinstance(thing, np.ndarray):
            pending += thing
        elif thing.dtype.hasobject and not thing.dtype.names:
            pending += thing.ravel().tolist()
