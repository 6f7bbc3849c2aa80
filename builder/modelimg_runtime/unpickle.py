"""The allow-listing, recording unpickler that both sides load models with.

The reader that enforces the list is the reader that makes the objects, so there is no second parser that could
disagree with it. A global is looked up in the list before it is imported, let alone called. The builder loads with a
policy and records what the file refers to; the image loads with exactly that record.

Both formats are read by Python's own pure-Python machine (joblib's reader is a subclass of it): unlike the C one it
tells where a stream ends, bounds its memory by the input, and lets each opcode be guarded.
"""

from __future__ import annotations

import _compat_pickle
import inspect
import io
import math
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from joblib import numpy_pickle
from joblib.numpy_pickle_utils import _COMPRESSORS, _detect_compressor

FORMATS = ("joblib", "pickle")

Allowed = Callable[[str, str], bool] | frozenset[str]
"""A policy on ``(module, name)``, or the exact set of ``module name`` strings."""

StandIn = Callable[[str, str], Any]
"""What takes the place of an allowed global ``(module, name)``; None where the global itself is imported."""

_Machine: Any = pickle._Unpickler  # noqa: SLF001 - the pure-Python one, as joblib uses it

_UNBUILDABLE = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
_GUARDED_PACKAGES = frozenset({"sklearn", "numpy", "scipy", "pandas", "joblib"})
_PUBLIC_HELPERS = frozenset(
    {"scalar", "newObj"}
)  # numpy._core.multiarray.scalar; newObj of scikit-learn's Cython modules
_FUNCTIONS = frozenset({"function", "builtin_function_or_method", "cython_function_or_method"})
_new_dtype: Any = np.dtype  # its many overloads know no table of parts
_ALIGNED_STRUCT = 0x80  # NPY_ALIGNED_STRUCT
_WRAPPER_STATE = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"})
_JOBLIB_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")


class UnpickleError(Exception):
    """A file that is truncated, corrupt, of another format, or refers to what cannot be imported."""


class RefusedGlobal(UnpickleError):  # noqa: N818 - it says what happened
    """A file that refers to a global that is not on the list. Nothing of it was imported or run.

    Attributes:
        module: as the file names it.
        name: as the file names it.
    """

    def __init__(self, module: str, name: str) -> None:
        super().__init__(f"{module}.{name} is not on the list of allowed globals")
        self.module = module
        self.name = name


@dataclass(frozen=True)
class Loaded:
    """What a file held.

    Attributes:
        object: the object.
        globals: every ``module name`` that the file refers to, sorted.
    """

    object: Any
    globals: tuple[str, ...]


def load(
    data: bytes,
    format: str,  # noqa: A002 - the field's word
    allowed: Allowed,
    stand_in: StandIn | None = None,
) -> Loaded:
    """Load a pickle or a joblib file, refusing every global that is not allowed before it is imported.

    Args:
        data: the whole file.
        format: ``pickle`` or ``joblib`` (compressed or not; memory mapping is never used).
        allowed: a policy, or the exact set of ``module name`` strings.
        stand_in: asked for each global that is allowed, before it is imported; what it raises is the cause of an
            ``UnpickleError``.

    Raises:
        RefusedGlobal: a global is not allowed, has a dotted name, or no identifier's.
        UnpickleError: anything else that is wrong with the data; never another type.
    """
    if format not in FORMATS:
        raise UnpickleError(f"unknown format {format!r}; known are {', '.join(FORMATS)}")
    gate = _Gate(allowed, stand_in)
    try:
        if format == "pickle":
            stream: BinaryIO = io.BytesIO(data)
            reader: _PickleReader | _JoblibReader = _PickleReader(stream, gate)
        else:
            stream = _decompressed(data)
            reader = _JoblibReader(stream, gate)
        loaded = reader.load()
        _refuse_trailing(reader, stream)
    except UnpickleError:
        raise
    except Exception as error:  # corrupt data can make any type of the machine's own, of numpy's or of a class's
        raise UnpickleError(f"the data is truncated or corrupt: {type(error).__name__}: {error}") from error
    return Loaded(loaded, tuple(sorted(gate.seen)))


class _Gate:
    """The list, and the record of what passed it; shared by a reader and the readers of its nested streams."""

    def __init__(self, allowed: Allowed, stand_in: StandIn | None) -> None:
        self.seen: set[str] = set()
        self._allowed = allowed
        self._stand_in = stand_in

    def resolve(self, module: str, name: str) -> Any:
        """The global, or what stands in for it, if it is allowed."""
        well_formed = name.isidentifier() and all(part.isidentifier() for part in module.split("."))
        if not well_formed or not self._permits(module, name):
            raise RefusedGlobal(module, name)
        self.seen.add(f"{module} {name}")
        stand_in = self._stand_in(module, name) if self._stand_in else None
        if stand_in is not None:
            return stand_in
        try:
            __import__(module)
            return getattr(sys.modules[module], name)
        except (ImportError, AttributeError) as error:
            raise UnpickleError(f"{module}.{name} cannot be imported here: {error}") from error

    def _permits(self, module: str, name: str) -> bool:
        if isinstance(self._allowed, frozenset):
            return f"{module} {name}" in self._allowed
        return self._allowed(module, name)


def _modern_name(module: str, name: str, protocol: int) -> tuple[str, str]:
    """Python 3's name of a global: protocols below 3 write Python 2's, such as ``__builtin__``."""
    if protocol < 3:
        if (module, name) in _compat_pickle.NAME_MAPPING:
            return _compat_pickle.NAME_MAPPING[module, name]
        return _compat_pickle.IMPORT_MAPPING.get(module, module), name
    return module, name


def _check_call(func: Any) -> None:
    """Refuse a call, while the file is loaded, that no honest file of these packages makes.

    An honest file calls classes and the helpers that pickling them names, never a function of the public interface,
    which it may well refer to, and never ``ndarray`` itself, which takes any bytes for pointers.
    """
    if isinstance(func, type):
        refused = issubclass(func, np.ndarray)
    else:
        name, module = str(getattr(func, "__name__", "_")), str(getattr(func, "__module__", None) or "")
        public = not name.startswith("_") and name not in _PUBLIC_HELPERS
        refused = type(func).__name__ not in _FUNCTIONS or (public and module.partition(".")[0] in _GUARDED_PACKAGES)
    if refused:
        raise UnpickleError(
            f"the data calls {getattr(func, '__qualname__', type(func).__qualname__)} while it is loaded"
        )


def _check_state(state: Any) -> None:
    """Refuse special attributes: an ``__array_interface__`` of the file's would be believed by NumPy."""
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, dict):
            for key in part:
                if isinstance(key, str) and key.startswith("__") and key.endswith("__"):
                    raise UnpickleError(f"the data sets the special attribute {key}")


def _guarded_build(reader: Any, build: Callable[[], None]) -> None:
    """BUILD, but where an object's own ``__setstate__`` could harm the process.

    A class or function would be changed for everybody; an array would free memory that another one sees, or read behind
    a list; and a dtype believes any flags, so that numbers of the file's become pointers.
    """
    target, state = reader.stack[-2], reader.stack[-1]
    if isinstance(target, _UNBUILDABLE):
        raise UnpickleError("the data sets attributes of a class or function")
    _check_state(state)
    if isinstance(target, np.ndarray):
        _check_array(target, state)
    if not isinstance(target, np.dtype):
        build()
        return
    made = _dtype(target, state)
    reader.stack.pop()
    if made != target:
        reader.stack[-1] = made
        reader.memo = {key: made if value is target else value for key, value in reader.memo.items()}


def _check_array(target: np.ndarray[Any, Any], state: Any) -> None:
    """Only a fresh, empty array is filled, and an array of objects by a list of as many.

    Source of the state: ``numpy.ndarray.__reduce__``; masked arrays add to its end.
    """
    if target.size or not isinstance(state, tuple) or len(state) < 5 or not isinstance(state[2], np.dtype):
        raise UnpickleError("the data holds an array that NumPy would not write")
    _, shape, dtype, _, content = state[:5]
    if dtype.hasobject and (not isinstance(content, list) or len(content) != math.prod(shape)):
        raise UnpickleError("the data holds an array of objects that NumPy would not write")


def _dtype(base: np.dtype[Any], state: Any) -> np.dtype[Any]:
    """The dtype that a state describes, made by NumPy's constructors and then compared with the state.

    Source of the state: ``numpy.dtype.__reduce__``.
    """
    if not isinstance(state, tuple) or len(state) not in (8, 9):
        raise UnpickleError("the data holds a dtype that NumPy would not write")
    _, order, sub, names, fields, size, _, flags, *more = state
    if sub is not None:
        made = np.dtype(sub)
    elif names is not None:
        parts: dict[str, Any] = {"names": list(names), "formats": [fields[name][0] for name in names]}
        parts |= {"offsets": [fields[name][1] for name in names], "itemsize": size}
        made = _new_dtype(parts, align=bool(flags & _ALIGNED_STRUCT))
    elif more and base.kind in "mM":
        unit, count = more[0][1][:2]
        made = np.dtype(f"{base.kind}8[{count}{unit.decode() if isinstance(unit, bytes) else unit}]").newbyteorder(
            order
        )
    else:
        made = base.newbyteorder(order)
    if made.__reduce__()[2] != state:
        raise UnpickleError("the data holds a dtype that NumPy would not write")
    return made


class _Guards:
    """The opcodes that call and build, each behind its check; over either machine."""

    stack: list[Any]

    def load_reduce(self) -> None:
        _check_call(self.stack[-2])
        super().load_reduce()  # type: ignore[misc]

    def load_newobj(self) -> None:
        _check_call(self.stack[-2])
        super().load_newobj()  # type: ignore[misc]

    def load_newobj_ex(self) -> None:
        _check_call(self.stack[-3])
        super().load_newobj_ex()  # type: ignore[misc]

    def _instantiate(self, klass: Any, args: Any) -> None:
        _check_call(klass)
        super()._instantiate(klass, args)  # type: ignore[misc]

    def load_build(self) -> None:
        _guarded_build(self, super().load_build)  # type: ignore[misc]

    @classmethod
    def dispatch_over(cls, machine: Any) -> dict[int, Any]:
        """The machine's table of opcodes with the guarded ones in it."""
        guarded = {
            pickle.REDUCE[0]: cls.load_reduce,
            pickle.NEWOBJ[0]: cls.load_newobj,
            pickle.NEWOBJ_EX[0]: cls.load_newobj_ex,
            pickle.BUILD[0]: cls.load_build,
        }
        return {**machine.dispatch, **guarded}


class _PickleReader(_Guards, _Machine):  # type: ignore[misc]
    """Reads one pickle stream and leaves the file right behind it."""

    dispatch = _Guards.dispatch_over(_Machine)

    def __init__(self, stream: BinaryIO, gate: _Gate) -> None:
        super().__init__(stream)
        self._gate = gate

    def find_class(self, module: str, name: str) -> Any:
        return self._gate.resolve(*_modern_name(module, name, self.proto))


class _JoblibReader(_Guards, numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
    """joblib's own reader, with the gate in front."""

    dispatch = _Guards.dispatch_over(numpy_pickle.NumpyUnpickler)

    def __init__(self, stream: BinaryIO, gate: _Gate) -> None:
        native = "ensure_native_byte_order" in inspect.signature(numpy_pickle.NumpyUnpickler).parameters  # joblib 1.5
        super().__init__("", stream, **({"ensure_native_byte_order": True} if native else {}))
        self.gate = gate

    def find_class(self, module: str, name: str) -> Any:
        module, name = _modern_name(module, name, self.proto)
        found = self.gate.resolve(module, name)
        return _ArrayWrapper if (module, name) == _JOBLIB_WRAPPER else found


class _ArrayWrapper(numpy_pickle.NumpyArrayWrapper):  # type: ignore[misc]
    """joblib's place-holder of an array, whose state is checked and whose nested pickle passes the same gate.

    joblib below 1.6 reads an object array by plain ``pickle.load``, past ``find_class``; here that code is not reached.
    """

    def __setstate__(self, state: Any) -> None:
        # Other keys could shadow a method that joblib is about to call.
        if (
            not isinstance(state, dict)
            or not state.keys() <= _WRAPPER_STATE
            or not isinstance(state["dtype"], np.dtype)
        ):
            raise UnpickleError("the data holds an array whose description is not joblib's")
        self.__dict__.update(state)

    def read(self, unpickler: _JoblibReader, *native: bool) -> Any:
        if not self.dtype.hasobject:
            return super().read(unpickler, *native)
        return _PickleReader(unpickler.file_handle, unpickler.gate).load()


def _decompressed(data: bytes) -> BinaryIO:
    stream = io.BytesIO(data)
    compressor = _detect_compressor(stream)
    if compressor == "compat":
        raise UnpickleError("the file was written by joblib before 0.10, which kept arrays in files beside it")
    if compressor not in _COMPRESSORS:
        return stream
    return io.BufferedReader(_COMPRESSORS[compressor].decompressor_file(stream), 1 << 20)


def _refuse_trailing(reader: Any, stream: BinaryIO) -> None:
    frame = reader._unframer.current_frame  # noqa: SLF001 - what the last frame still holds
    if (frame is not None and frame.read(1)) or stream.read(1):
        raise UnpickleError("the data goes on behind the end of the pickle")
