"""Several serving processes: the parent loads and checks the model once, and forks workers that share it.

The workers share the model's memory until one of them writes to it, the listening socket, and the counters. While the
model is being loaded, a doorman answers: a process without a model, for which ``/livez`` is 200 and all else 503.

The parent loads in a thread that has ended when it forks, and never predicts in the thread that forks: OpenMP keeps its
threads with the one that first needed them, and GCC's runtime would wait for ever, in the forked process, for those
that did not come along. OpenBLAS stops its own before a fork.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from typing import NoReturn

from modelimg_runtime.accepting import Crowd
from modelimg_runtime.counters import Counters, make_board, retire
from modelimg_runtime.environment import DRAIN_SECONDS, Settings
from modelimg_runtime.errors import StartRefused
from modelimg_runtime.serve import make_server
from modelimg_runtime.server import Place
from modelimg_runtime.service import SAVE_SECONDS, Ready, Service, prepare_or_refuse

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
_YOUNG_SECONDS = 5.0
_MOST_YOUNG_DEATHS = 5
"""Workers that die so young, one after the other, will not do better: the process ends."""
_DOORMAN_POLL_SECONDS = 0.002
_GRACE_SECONDS = 3
"""Beyond the time that a worker gives itself to drain."""


class WorkersFailed(StartRefused):
    """Workers die again and again."""


class Workers:
    """The parent of the workers; it answers nothing itself.

    Args:
        settings: which package, and how many workers.
        listener: the socket that all workers accept from.
    """

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings, self._listener = settings, listener
        self._board = make_board(settings.workers + 1)
        self._doorman_slot = settings.workers
        self._crowd = Crowd(settings.workers + 1)
        self._slots: dict[int, int] = {}
        """Process id → its slot on the board."""
        self._born: dict[int, float] = {}
        self._young_deaths = 0
        # Its other end closes when this process is gone, however it went.
        self._alive, self._alive_end = os.pipe()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; return when all workers have drained.

        Raises:
            StartRefused: the package may not be served, or workers die again and again.
        """
        import modelimg_runtime.app  # noqa: F401 - before forking, so that all processes share it

        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGALRM})
        ready: Ready | None = None
        try:
            self._fork(self._doorman_slot, None)
            ready = self._load()
            self._dismiss_doorman()
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            for slot in range(self._settings.workers):
                self._fork(slot, ready)
            log.info("ready, with %d workers", self._settings.workers)
            # Here, where nothing else is done, the counts are written, of all workers at once.
            signal.setitimer(signal.ITIMER_REAL, SAVE_SECONDS, SAVE_SECONDS)
            self._supervise(ready)
        finally:
            self._kill()
            _save(ready)

    def _load(self) -> Ready:
        outcome: list[Ready | StartRefused] = []

        def load() -> None:
            try:
                outcome.append(prepare_or_refuse(self._settings))
            except StartRefused as error:
                outcome.append(error)

        thread = threading.Thread(target=load, name="load", daemon=True)
        thread.start()
        thread.join()
        if isinstance(outcome[0], StartRefused):
            raise outcome[0]
        return outcome[0]

    def _fork(self, slot: int, ready: Ready | None) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._work(slot, ready)
        self._slots[pid], self._born[pid] = slot, time.monotonic()

    def _work(self, slot: int, ready: Ready | None) -> NoReturn:
        """Be a worker; never return into the parent's code."""
        code = 1
        try:
            os.close(self._alive_end)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._serve(slot, ready)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            log.exception("a worker failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _serve(self, slot: int, ready: Ready | None) -> None:
        # The doorman shares its socket with the workers, so it must not go on accepting when they are there.
        settings = replace(self._settings, drain_delay=0) if ready is None else self._settings
        place = Place(slot, self._crowd, self._alive)
        self._crowd.count(slot, 0)  # what its predecessor had is gone with it
        server = make_server(settings, None, Service(ready, slot), Counters(self._board, slot), place)
        server.run(sockets=[self._listener])

    def _dismiss_doorman(self) -> None:
        """Return when it accepts no more: once a worker has said that it is ready, nobody may say 503.

        Who connects meanwhile waits in the socket.
        """
        (doorman,) = self._slots
        os.kill(doorman, signal.SIGTERM)
        while doorman in self._slots and self._crowd.has(self._doorman_slot):
            time.sleep(_DOORMAN_POLL_SECONDS)
            self._reap()

    def _supervise(self, ready: Ready) -> None:
        while True:
            received = signal.sigwait(_SIGNALS)
            if received in (signal.SIGTERM, signal.SIGINT):
                self._drain(received)
                return
            if received == signal.SIGALRM:
                _save(ready)
            for pid, slot, status in self._reap():
                self._note_death(pid, status)
                self._fork(slot, ready)

    def _note_death(self, pid: int, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        log.error("worker %d ended with %s; another takes its place", pid, how)
        young = time.monotonic() - self._born.pop(pid) < _YOUNG_SECONDS
        self._young_deaths = self._young_deaths + 1 if young else 0
        if self._young_deaths >= _MOST_YOUNG_DEATHS:
            raise WorkersFailed(f"{_MOST_YOUNG_DEATHS} workers in a row ended within {_YOUNG_SECONDS:.0f} seconds")

    def _reap(self) -> list[tuple[int, int, int]]:
        """Process id, slot and status of the workers that have ended."""
        ended = []
        while self._slots:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in self._slots:
                slot = self._slots.pop(pid)
                self._crowd.leave(slot)
                if slot == self._doorman_slot:
                    retire(self._board, slot)
                else:
                    ended.append((pid, slot, status))
        return ended

    def _drain(self, received: int) -> None:
        """Pass the signal on, and wait; who takes too long, or longer than a second Ctrl-C, is killed."""
        self._listener.close()
        for pid in self._slots:
            os.kill(pid, received)
        signal.setitimer(signal.ITIMER_REAL, DRAIN_SECONDS + _GRACE_SECONDS)
        signal.sigtimedwait({signal.SIGALRM}, 0)  # one that was for the next write
        while self._slots:
            if signal.sigwait({signal.SIGCHLD, signal.SIGALRM, signal.SIGINT}) != signal.SIGCHLD:
                log.error("workers did not end in time: %s", ", ".join(map(str, self._slots)))
                return
            self._reap()

    def _kill(self) -> None:
        for pid in self._slots:
            os.kill(pid, signal.SIGKILL)
        for pid in list(self._slots):
            os.waitpid(pid, 0)
            del self._slots[pid]


def _save(ready: Ready | None) -> None:
    """Write the monitor's counts where they are to survive a restart."""
    if ready is not None and ready.monitor is not None:
        ready.monitor.save()
