"""Programs that run beside a test, with their logs kept."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"

# Below the ports that systems give to outgoing connections: those would take a stopped server's port.
_PORTS = range(20000, 32000)


class ComponentNotFound(Exception):
    """A program or package that a test needs is not here; the message says how to install it."""


class ProcessFailed(Exception):
    """A process ended, or did not become ready in time; the message ends with its log."""


class Child:
    """A child process, started and reaped natively, also under monkey patching.

    gevent's `Popen` forks in Python, which runs the at-fork hooks of the program under test, and needs the
    main thread's loop; the interpreter's own does not work where gevent has patched it. `output` and
    `stdin` are descriptors. Nothing here waits.
    """

    def __init__(
        self,
        command: Sequence[str],
        output: int,
        stdin: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        with open(os.devnull, "rb") as nothing:
            given = nothing.fileno() if stdin is None else stdin
            dup2 = os.POSIX_SPAWN_DUP2
            self.pid: int = monkey.get_original("os", "posix_spawn")(
                command[0],
                command,
                os.environ if environment is None else environment,
                file_actions=[(dup2, given, 0), (dup2, output, 1), (dup2, output, 2)],
                setsigdef=[signal.SIGPIPE],  # the interpreter ignores it, and that is inherited
            )
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the process is over, and reaped."""
        if not self._ended:
            try:
                self._ended = monkey.get_original("os", "waitpid")(self.pid, os.WNOHANG)[0] == self.pid
            except ChildProcessError:  # a SIGCHLD handler of the loop was first, or a fork asks
                self._ended = True
        return self._ended

    def signal(self, number: int) -> None:
        """Sends a signal, unless the process is over: its id may be another's by then."""
        if not self.ended:
            os.kill(self.pid, number)


def close_descriptor(descriptor: int) -> None:
    """Closes it now: gevent's patched `os.close` may leave that to the loop."""
    monkey.get_original("os", "close")(descriptor)


def native_socket(family: int = socket.AF_INET) -> socket.socket:
    """A blocking TCP or Unix socket of the interpreter's own, also under monkey patching."""
    made: socket.socket = monkey.get_original("socket", "socket")(family, socket.SOCK_STREAM)
    return made


def free_port() -> int:
    """A TCP port that nobody listens on."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        with native_socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError("no free port")


def module_environment() -> dict[str, str]:
    """The environment in which `python -m greenredis...` finds the greenredis that runs here."""
    source = str(Path(__file__).resolve().parent.parent.parent)
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def poll(condition: Callable[[], bool], timeout: float, sleep: Callable[[float], Any]) -> bool:
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        sleep(0.005)
    return True


class Process:
    """A program that runs beside the test: started, stopped, killed, suspended, resumed, restarted.

    A context manager: the process and its folder are gone at the end of the block, and at the latest when
    the interpreter exits. Waiting is cooperative and bounded; `ProcessFailed` carries the log.
    """

    host = HOST
    port: int

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="greenredis-"))
        self.log = self.folder / f"{name}.log"
        self._child: Child | None = None
        self._owner = os.getpid()
        self._suspended = False
        atexit.register(self._at_exit)

    def __repr__(self) -> str:
        state = ("suspended" if self._suspended else f"pid {self.pid}") if self.running else "stopped"
        return f"<{type(self).__name__} {self.name} {self.address} {state}>"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; raises `ProcessFailed` if it was never started."""
        if self._child is None:
            raise ProcessFailed(f"{self.name} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is there, suspended or not."""
        return self._child is not None and not self._child.ended

    def command(self) -> list[str]:
        """The words of the command line; asked at every start."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it serves now: it accepts a connection. Only asked while the process runs."""
        with native_socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((self.host, self.port)) == 0

    def start(self, wait: bool = True) -> Self:
        """Starts the process, unless it runs, and returns when it is ready (at once if not `wait`)."""
        if not self.running:
            self._spawn()
        if wait:
            self.wait_until_ready()
        return self

    def _spawn(self) -> None:
        with self.log.open("ab") as output:
            self._child = self._launch(output.fileno())
        self._suspended = False

    def _launch(self, output: int) -> Child:
        return Child(self.command(), output)

    def wait_until_ready(self, timeout: float = 20.0) -> None:
        """Returns when it serves; raises `ProcessFailed` when it has ended, or after `timeout` seconds."""
        if not poll(lambda: not self.running or self.is_ready(), timeout, gevent.sleep):
            raise ProcessFailed(f"{self!r} was not ready in {timeout:g} s\n{self.tail()}")
        if not self.running:
            raise ProcessFailed(f"{self!r} ended by itself\n{self.tail()}")

    def stop(self, timeout: float = 5.0) -> None:
        """Asks the process to end (SIGTERM), and kills it if it has not after `timeout` seconds."""
        if self.running:
            self._signal(signal.SIGTERM)
            self.resume()
            poll(lambda: not self.running, timeout, gevent.sleep)
        self.kill()

    def kill(self) -> None:
        """Kills the process (SIGKILL) and returns when it is gone and reaped."""
        self._signal(signal.SIGKILL)
        if not poll(lambda: not self.running, 5.0, gevent.sleep):
            raise ProcessFailed(f"{self!r} survives SIGKILL")
        self._suspended = False

    def suspend(self) -> None:
        """Stops the process where it is (SIGSTOP): the kernel goes on accepting connections for it."""
        self._signal(signal.SIGSTOP)
        self._suspended = self.running
        poll(lambda: _state(self.pid) in ("T", ""), 1.0, gevent.sleep)

    def resume(self) -> None:
        """Lets a suspended process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)
        self._suspended = False

    def restart(self, wait: bool = True) -> Self:
        """Stops it if it runs, and starts it on the same port, in the same folder."""
        self.stop()
        return self.start(wait)

    def close(self) -> None:
        """Ends the process and removes its folder, log included."""
        self.kill()
        atexit.unregister(self._at_exit)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tail(self, lines: int = 40) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        if self._child is not None:
            self._child.signal(number)

    def _at_exit(self) -> None:
        # A forked child inherits the hook, not the process.
        if os.getpid() == self._owner:
            self._signal(signal.SIGKILL)
            poll(lambda: not self.running, 2.0, monkey.get_original("time", "sleep"))
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and sys.version_info >= (3, 11):
            error.add_note(f"log of {self!r}:\n{self.tail(20)}")
        self.stop()
        self.close()


def _state(pid: int) -> str:
    """The process's state as /proc tells it: `T` when stopped, empty where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
