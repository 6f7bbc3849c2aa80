"""The C library's allocator, told to keep what requests free.

glibc gives memory at the end of its heap back to the system as soon as a request of a hundred rows has freed its
arrays, and asks for it again with the next one: twenty page faults a request, a tenth of its time.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of the options in ``malloc.h``."""
_KEPT_BYTES: Final = 16 << 20
_MAPPED_BYTES: Final = 4 << 20
"""From this size on, an array gets pages of its own, which go back at once."""
_VARIABLES: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let the heap keep up to 16 MB that is free; arrays of 4 MB and more still go back to the system.

    Returns:
        Whether that was done: not where a variable of the environment says otherwise, nor beside another C library.
    """
    if any(os.environ.get(name) for name in _VARIABLES) or os.name != "posix":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(
        mallopt(option, size) for option, size in ((_TRIM_THRESHOLD, _KEPT_BYTES), (_MMAP_THRESHOLD, _MAPPED_BYTES))
    )
