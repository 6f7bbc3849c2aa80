"""Runs a command and prints the peak of its memory.

Usage: python -S peak.py COMMAND [ARGUMENT …]

Prints JSON: ``own``, bytes of the command's own process at most (``VmHWM``), and ``largest``, the same of the largest
of it and its children (``ru_maxrss``). It imports next to nothing, because Linux counts towards a child's peak what its
parent held when it was started.
"""

import json
import os
import sys
import time
from pathlib import Path

_PAUSE_SECONDS = 0.005


def _measure(command: list[str]) -> dict[str, int]:
    # What the command prints goes to standard error, so that standard output holds the figures alone.
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    own, status = 0, Path(f"/proc/{child}/status")
    while True:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                own = int(line.split()[1]) * 1024
        ended, code, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return {"code": os.waitstatus_to_exitcode(code), "own": own, "largest": usage.ru_maxrss * 1024}
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1:])))
