"""Compiles modules inside a base image: a script that the base's own interpreter runs, never imported by anything.

Called as ``python -c SCRIPT PREFIX [INPUT OUTPUT]``; without files, it reads standard input and writes standard output.

In: frames of a kind byte, two big-endian 32-bit lengths, a name and data. Kind ``S``: the source of the module at the
absolute path ``name``; kind ``B``: the same, to be compiled bare of docstrings. Kind ``L``: the dotted name of a module
that may be in the interpreter's standard library, no data; kind ``M``: the same, bare. Out: frames of two lengths, the
path of a ``.pyc`` file and its bytes.

Any Python from 3.10 can run it. What it writes for a module depends on that module only: no code object outlives its
frame, because `marshal` marks strings that something else in the process holds, too.

Source: PEP 552 (hash-based pycs), PEP 3147 and PYTHONPYCACHEPREFIX (their paths).
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import opcode
import operator
import os
import sys
import types
from collections.abc import Iterator

HASHED, CHECKED = 0b01, 0b10
"""Flags of PEP 552. Source that cannot change under its byte code is not read again to compare it."""
FUNCTION, DOCUMENTED = 0x1, 0x4000000
"""Of ``co_flags``: ``CO_OPTIMIZED``, and ``CO_HAS_DOCSTRING``, which Python has from 3.14 on."""
LOAD_CONST, STORE_NAME, EXTENDED_ARG = (opcode.opmap[name] for name in ("LOAD_CONST", "STORE_NAME", "EXTENDED_ARG"))
PROLOGUE = {"__module__", "__qualname__", "__firstlineno__"}
"""What a class's code stores before its docstring."""


def main() -> None:
    """Compile what comes in."""
    sys.pycache_prefix = sys.argv[1]
    source, target = sys.argv[2:] or (0, 1)  # standard input and output
    library = os.path.dirname(os.__file__)
    with open(source, "rb") as frames, open(target, "wb") as out:
        while head := frames.read(9):
            name = frames.read(int.from_bytes(head[1:5], "big")).decode()
            data = frames.read(int.from_bytes(head[5:9], "big"))
            if head[:1] in b"SB":
                write(out, name, compiled(name, data, HASHED, bare=head[:1] == b"B"))
            elif found := find(library, name):
                path, text = found
                write(out, path, compiled(path, text, HASHED | CHECKED, bare=head[:1] == b"M"))


def find(library: str, name: str) -> tuple[str, bytes] | None:
    """Path and source of a module of the standard library: a package's before a module's, as the finders look."""
    stem = os.path.join(library, *name.split("."))
    for path in (os.path.join(stem, "__init__.py"), stem + ".py"):
        try:
            with open(path, "rb") as file:
                return path, file.read()
        except OSError:
            continue
    return None


def compiled(path: str, source: bytes, flags: int, *, bare: bool = False) -> bytes | None:
    """A ``.pyc`` file's bytes; None for a template, or source for another Python."""
    try:
        code = code_of(path, source)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None
    # Classes and functions share equal constant sets, unless a string of one was interned before: as a name in a module
    # compiled earlier, for good from 3.12 on. Compiled again while `code` holds its strings, all of them always were.
    sets = list(sets_of(code))
    final = code if len(sets) == len(set(sets)) else code_of(path, source)
    if bare:
        final = without_docstrings(final)
        del code  # `marshal` would see that the strings in it are held twice
    head = importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + importlib.util.source_hash(source)
    return head + marshal.dumps(final)


def code_of(path: str, source: bytes) -> types.CodeType:
    """A module's code, from its text: nothing else may hold a string of it when it is written, not even a tree."""
    return compile(source, path, "exec", dont_inherit=True, optimize=0)


def without_docstrings(code: types.CodeType) -> types.CodeType:
    """The same code without the strings that only ``__doc__`` would hold, which is None then.

    Three times as fast as by way of a syntax tree.
    """
    constants = [without_docstrings(each) if isinstance(each, types.CodeType) else each for each in code.co_consts]
    docstring = find_docstring(code)
    if docstring is not None:
        constants[docstring] = None
    if all(map(operator.is_, constants, code.co_consts)):
        return code
    return code.replace(co_consts=tuple(constants), co_flags=code.co_flags & ~DOCUMENTED)


def find_docstring(code: types.CodeType) -> int | None:
    """Where in the constants the docstring is; None without one, and where other code may need the same string."""
    raw, index, uses = code.co_code, 0, 0
    if code.co_flags & FUNCTION:
        # Before 3.14 a function's first constant is its docstring or None, and anything in a lambda or a comprehension.
        can_have = code.co_flags & DOCUMENTED if sys.version_info >= (3, 14) else not code.co_name.startswith("<")
        if not can_have:
            return None
    else:
        stores = ((at, code.co_names[raw[at + 1]]) for at in range(4, len(raw), 2) if raw[at] == STORE_NAME)
        at, name = next(((at, name) for at, name in stores if name not in PROLOGUE), (0, ""))
        if name != "__doc__" or raw[at - 2] != LOAD_CONST or raw[at - 4] == EXTENDED_ARG:
            return None
        index, uses = raw[at - 1], 1
    if index >= len(code.co_consts) or not isinstance(code.co_consts[index], str):
        return None
    return index if sum(raw.count(bytes((each, index))) for each in opcode.hasconst) == uses else None


def sets_of(code: types.CodeType) -> Iterator[frozenset[object]]:
    """The constant sets of strings and numbers in a module's code, one for each code object that has it."""
    for each in code.co_consts:
        if isinstance(each, frozenset):
            yield each
        elif isinstance(each, types.CodeType):
            yield from sets_of(each)


def write(out: io.BufferedWriter, path: str, data: bytes | None) -> None:
    """A frame of output, where there is anything."""
    if data is not None:
        name = importlib.util.cache_from_source(path).encode()
        out.write(len(name).to_bytes(4, "big") + len(data).to_bytes(4, "big") + name + data)


if __name__ == "__main__":
    main()
