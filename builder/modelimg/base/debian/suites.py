"""The suites that a base is made from, and which of their packages go in.

A base is the closure of a few roots over ``Depends`` and ``Pre-Depends``. What is left out of the closure is left out
by name and for a reason: everything else that a package says it needs is there.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from modelimg.errors import BaseError


@dataclass(frozen=True)
class Suite:
    """A Debian release.

    Attributes:
        name: its code name, which never moves, unlike ``stable``.
        python: minor version of its Python, ``3.11``.
        more: roots that only this suite has or needs.
    """

    name: str
    python: str
    more: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[str, ...]:
        """Packages that a base is made for; the closure adds the libraries that they link to."""
        return (
            f"python{self.python}-minimal",  # the interpreter
            f"libpython{self.python}-stdlib",  # what the minimal package leaves out of the standard library
            "libc6",
            "libstdc++6",  # wheels in C++ (manylinux leaves it to the system): SciPy, pandas, scikit-learn
            "libgomp1",  # OpenMP, of wheels that do not bring their own
            "zlib1g",
            "libc-bin",  # the locale C.UTF-8; its programs stay out
            "ca-certificates",  # Mozilla's, for https
            "tzdata",  # time zones of datetime and pandas
            "base-files",  # os-release, the directories of the FHS, licence texts
            "netbase",  # /etc/protocols and /etc/services, for socket.getservbyname
            *self.more,
        )


_KNOWN = (
    Suite("bookworm", "3.11"),
    Suite("trixie", "3.13", more=("tzdata-legacy",)),  # old names such as US/Eastern, which data still carries
)
SUITES: dict[str, Suite] = {suite.name: suite for suite in _KNOWN}

LEFT_OUT: dict[str, str] = {
    "dpkg": "the package manager; readline-common wants it, or install-info, for its maintainer script",
    "debconf": "asks questions while installing; nothing is installed here",
    "awk": "base-files wants one for its maintainer scripts, which are not run",
    "openssl": "the command; ca-certificates wants it for its maintainer script, the library is libssl",
    "media-types": "/etc/mime.types; the mimetypes module has a table of its own",
    # Libraries of four extension modules that `tree` leaves out too: 5 MB, and Kerberos, that no server of models uses.
    "libnsl2": "Sun's NIS, of the nis module that Python 3.13 has dropped",
    "libtirpc3": "Sun's RPC with Kerberos behind it, for NIS",
    "libtirpc3t64": "the same in trixie",
    "libdb5.3": "Berkeley DB, of dbm.ndbm; dbm falls back to a file format of its own",
    "libdb5.3t64": "the same in trixie",
    "libreadline8": "line editing, where nobody types",
    "libreadline8t64": "the same in trixie",
    "libncursesw6": "screens, where nobody looks",
    "libtinfo6": "terminals, for the two above",
}
"""Dependencies that are not followed, and why."""


def find_suite(name: str) -> Suite:
    """The suite of this name.

    Raises:
        BaseError: none that bases can be made from.
    """
    if suite := SUITES.get(name):
        return suite
    close = difflib.get_close_matches(name, SUITES, n=1)
    known = ", ".join(f"{suite.name} (Python {suite.python})" for suite in SUITES.values())
    raise BaseError(
        f"{name!r} is not a Debian suite that bases are made from",
        hint=f"did you mean {close[0]!r}? known suites: {known}" if close else f"known suites: {known}",
    )
