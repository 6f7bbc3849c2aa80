"""Serving on a socket that another process listens on, and telling it when we are ready: systemd's two protocols.

Connections wait in the socket while the model is loaded, so nobody needs to be answered before. `modelimg serve` puts a
new server in the place of an old one by it, without refusing anybody; systemd's and podman's socket units work too.

Source: sd_listen_fds(3), sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from modelimg_runtime.errors import SettingRefused

ENV_COUNT, ENV_PROCESS, ENV_NOTIFY = "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"
FIRST = 3
"""Descriptor of the first socket."""


def inherited_listener(environ: Mapping[str, str]) -> socket.socket | None:
    """The socket that this process was started with; None where it has to listen itself.

    Raises:
        SettingRefused: there are several, or it does not listen for connections.
    """
    if environ.get(ENV_PROCESS) != str(os.getpid()) or environ.get(ENV_COUNT) in (None, "", "0"):
        return None
    if environ[ENV_COUNT] != "1":
        raise SettingRefused(f"{ENV_COUNT}={environ[ENV_COUNT]}: one socket is served, not several")
    try:
        listener = socket.socket(fileno=FIRST)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise SettingRefused(f"descriptor {FIRST} is no socket that listens")
    except OSError as error:
        raise SettingRefused(f"descriptor {FIRST} is no socket: {error.strerror}") from error
    listener.set_inheritable(False)
    return listener


def notify_ready(environ: Mapping[str, str]) -> None:
    """Tell who started this process that it answers from now on; nobody where nobody asked.

    Raises:
        SettingRefused: it cannot be told.
    """
    address = environ.get(ENV_NOTIFY)
    if not address:
        return
    # In systemd's notation, @ stands for the zero byte of an abstract address.
    where = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
            telling.sendto(b"READY=1", where)
    except OSError as error:
        raise SettingRefused(f"{ENV_NOTIFY}={address} cannot be told: {error.strerror}") from error
