"""MONITOR: all commands that a server runs, as they come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar

from gevent.hub import get_hub

from .exceptions import RedisError
from .pubsub_connection import give_back_later

M = TypeVar("M", bound="Monitor")

_LINE = re.compile(r"([\d.]+) \[(\d+) (.*?)\] (.*)", re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


class Monitor:
    """The server's commands, on a connection of its own that the block of `with` closes.

    Waits for the next one as long as it takes, or until the greenlet's deadline (TimeoutError); a
    greenlet that leaves in the middle loses no command.
    """

    connection: Any = None

    def __init__(self, connection_pool: Any) -> None:
        self.connection_pool = connection_pool
        self._hub = get_hub()
        self.connection = connection_pool.get_connection()

    def __enter__(self: M) -> M:
        started = False
        try:
            self._start()
            started = True
        finally:
            if not started:
                self.close()
        return self

    def _start(self) -> None:
        if self.connection is None:
            self.connection = self.connection_pool.get_connection()
        self.connection.send_command("MONITOR")
        reply = self.connection.read_response()
        if reply not in (b"OK", "OK"):
            raise RedisError(f"MONITOR failed: {reply!r}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and give its slot back. Nothing here switches greenlets."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.disconnect()
            self.connection_pool.release(connection)

    def __del__(self) -> None:
        if self.connection is not None:
            give_back_later(self.connection_pool, self.connection, self._hub)

    def next_command(self) -> dict[str, Any]:
        """The next command: time, db, client_address, client_port, client_type, command."""
        if self.connection is None:
            raise RedisError("the monitor is closed: begin a block with it")
        line = self.connection.read_response(timeout=None, disconnect_on_error=False)
        if isinstance(line, bytes):
            line = line.decode("utf-8", "replace")
        found = _LINE.match(line)
        if found is None:
            raise RedisError(f"MONITOR gave what is no command: {line[:80]!r}")
        time, db, client, words = found.groups()
        address, port, kind = _client(client)
        return {
            "time": float(time),
            "db": int(db),
            "client_address": address,
            "client_port": port,
            "client_type": kind,
            "command": " ".join(_WORD.findall(words)).replace('\\"', '"'),
        }

    def listen(self) -> Iterator[dict[str, Any]]:
        """Commands as they come, for ever."""
        while True:
            yield self.next_command()


def _client(told: str) -> tuple[str, str, str]:
    """Address, port and type: tcp, unix, lua for a script's commands, or unknown."""
    if told == "lua":
        return "lua", "", "lua"
    if told.startswith("unix"):
        return "unix", told[5:], "unix"
    address, _, port = told.rpartition(":")  # IPv6 addresses have colons of their own
    return (address, port, "tcp") if told else ("", "", "unknown")
