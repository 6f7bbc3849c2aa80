"""Base images made from Debian's packages, in-process: no registry, no root, no dpkg on the host.

``resolve_packages`` names and pins the packages, from Debian's signed indexes or from a lock file; ``build_base``
fetches them and makes one deterministic tar. In the order of the flow: `suites` (which packages), `keyring` and
`archive` (indexes that can be trusted), `index` and `selection` (the newest versions), `lock`, `extract` and `tree`
(packages → entries), `build`.

Maintainer scripts are not run. The result has no shell, no package manager and no program but the interpreter.
"""

from modelimg.base.debian.build import DebianBase, build_base
from modelimg.base.debian.keyring import Keyring
from modelimg.base.debian.lock import read_lock, write_lock
from modelimg.base.debian.selection import resolve_packages
from modelimg.base.debian.values import DebianPackage, DebianPackages, Mirrors

__all__ = [
    "DebianBase",
    "DebianPackage",
    "DebianPackages",
    "Keyring",
    "Mirrors",
    "build_base",
    "read_lock",
    "resolve_packages",
    "write_lock",
]
